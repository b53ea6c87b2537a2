"""From a request to checked values: raw bodies, JSON bodies of publishes, queries and forms, with refusals that help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from services.kernel.domain import channels, nesting
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.packed import MAX_DEPTH
from services.kernel.http.bodies import plain_type
from services.publisher.routes import bodies
from services.publisher.routes.models import bad

T = TypeVar("T")

OCTETS = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

MAX_FIELDS = 100
"""Fields of a query or form: parsing must not cost more than a message does."""


class BareRequest:
    """A request as ASGI brings it. Of headers that come several times the first counts, but for `authorization`."""

    __slots__ = ("_receive", "authorization", "headers", "media_type", "scope")

    def __init__(self, scope: Scope, receive: Receive | None = None) -> None:
        named = list(scope["headers"])
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(reversed(named))
        self.authorization = [v.decode("latin-1") for name, v in named if name == b"authorization"]
        self.media_type = plain_type(self.headers.get(b"content-type", b"").decode("latin-1"))
        self._receive = receive

    async def body(self) -> bytes:
        """The whole body; to be asked for once. Raises ClientDisconnect."""
        assert self._receive is not None
        message = await self._receive()
        parts = [message.get("body", b"")]
        while message.get("more_body") and message["type"] == "http.request":
            message = await self._receive()
            parts.append(message.get("body", b""))
        if message["type"] != "http.request":
            raise ClientDisconnect
        return parts[0] if len(parts) == 1 else b"".join(parts)


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder of a documented type."""
    return msgspec.json.Decoder(kind, dec_hook=bodies.dec_hook)


def decode(raw: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The body as a value. Raises `bad_request` that names the place and the reason.

    What is nested too deep to be read is `invalid_data`, as data is that can be read: nothing else in a body is deep.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise bad(f"the body is not as it should be: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # A batch with its messages is three levels around their data.
        if nesting.depth(raw) > MAX_DEPTH + 3:
            raise OpenlineError(
                Code.INVALID_DATA, f"the body is nested too deep: data is at most {MAX_DEPTH} deep"
            ) from None
        raise bad(f"the body is not JSON: {error}") from None


def decode_field(name: str, raw: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """One field of a body whose others are none of our business. Raises `bad_request` naming it."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad(f"{name}: {error}") from None


def query(scope: Mapping[str, Any], model: type[BaseModel]) -> dict[str, str]:
    """The query's fields, for `model` to check; those it does not know are ignored.

    Raises `bad_request`, also for a field of the model that is given twice: which one would count?
    """
    fields: dict[str, str] = {}
    for name, value in pairs(scope["query_string"]):
        if name in fields and name in model.model_fields:
            raise bad(f"give {name} once")
        fields[name] = value
    return fields


def pairs(raw: bytes) -> list[tuple[str, str]]:
    """The fields of a query or an urlencoded form, which share one syntax. Raises `bad_request`."""
    if not raw:
        return []
    try:
        return parse_qsl(
            raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except UnicodeDecodeError:
        raise bad("the query or form is not percent-encoded UTF-8") from None
    except ValueError:
        raise bad(f"a query or form has at most {MAX_FIELDS} fields") from None


def collected(fields: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Fields as an object; one that is given several times becomes a list."""
    result: dict[str, str | list[str]] = {}
    for name, value in fields:
        before = result.get(name)
        if before is None:
            result[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            result[name] = [before, value]
    return result


def checked_subject(value: str, name: str) -> str:
    """`value` if it may be a user or connection; `name` is what it is called. Raises `bad_request`."""
    if not channels.is_subject(value):
        raise bad(f"{name} is 1-128 characters of A-Z a-z 0-9 _ . : @ | = + -")
    return value
