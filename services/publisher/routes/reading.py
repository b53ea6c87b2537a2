"""From a request to checked values: raw bodies, JSON bodies of publishes, queries and forms, with refusals that help."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from services.kernel.domain import channels, nesting, unreadable
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.packed import MAX_DEPTH
from services.kernel.http.bodies import no_such, plain_type
from services.publisher.routes import bodies
from services.publisher.routes.models import bad

T = TypeVar("T")

OCTETS = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

MAX_FIELDS = 100
"""Fields of a query or form: parsing must not cost more than a message does."""

_HEADER_KEY = re.compile(rb"[!-~](?:[ -~]{0,126}[!-~])?\Z")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])+)"\Z')
_UNKNOWN = re.compile(
    r"Object contains unknown field `(.*?)`(?: - at `(\$[\w.\[\]]*)`)?\Z", re.DOTALL
)
_INNER = {"expect": bodies.Position, "messages": bodies.BatchMessage}
"""What stands in a body under a name, or in a list there."""


class BareRequest:
    """A request as ASGI brings it. Of headers that come several times the first counts, but for `authorization`."""

    __slots__ = ("_body", "_receive", "authorization", "headers", "media_type", "scope")

    def __init__(
        self,
        scope: MutableMapping[str, Any],
        receive: Receive | None = None,
        *,
        body: bytes | None = None,
    ) -> None:
        """`body` if it is here already."""
        named = list(scope["headers"])
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(reversed(named))
        self.authorization = [v.decode("latin-1") for name, v in named if name == b"authorization"]
        self.media_type = plain_type(self.headers.get(b"content-type", b"").decode("latin-1"))
        self._receive = receive
        self._body = body

    async def body(self) -> bytes:
        """The whole body; to be asked for once. Raises ClientDisconnect."""
        if self._body is not None:
            return self._body
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
        raise bad(_why(error, decoder.type)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # A batch with its messages is three levels around their data.
        if nesting.depth(raw) > MAX_DEPTH + 3:
            raise OpenlineError(
                Code.INVALID_DATA, f"the body is nested too deep: data is at most {MAX_DEPTH} deep"
            ) from None
        raise bad(f"the body is not JSON: {unreadable.reason(raw, error)}") from None


def _why(error: msgspec.ValidationError, kind: Any) -> str:
    unknown = _UNKNOWN.match(str(error))
    if unknown is None:
        return f"the body is not as it should be: {error}"
    name, path = unknown[1], unknown[2] or "$"
    inner = path.rpartition(".")[2].partition("[")[0]
    fields = _INNER.get(inner, kind).__struct_encode_fields__
    return no_such("member" if path == "$" else f"member of {path}", name, fields)


def idempotency_key(request: BareRequest) -> str | None:
    """The header `Idempotency-Key`, which counts as `key`. Raises `bad_request`.

    A string in quotes, as in draft-ietf-httpapi-idempotency-key-header, or without, as most send it.
    """
    raw = request.headers.get(b"idempotency-key")
    if raw is None:
        return None
    if not _HEADER_KEY.match(raw):
        raise bad("Idempotency-Key is 1-128 printable ASCII characters")
    text = raw.decode("ascii")
    quoted = _QUOTED.match(text)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text


def refuse_key(request: BareRequest, instead: str) -> None:
    """Raises `bad_request` for the header `Idempotency-Key`, where it would promise what nobody keeps."""
    if b"idempotency-key" in request.headers:
        raise bad(f"Idempotency-Key does not count here; {instead}")


def decode_field(name: str, raw: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """One field of a body whose others are none of our business. Raises `bad_request` naming it."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad(f"{name}: {unreadable.reason(raw, error)}") from None


def query(scope: Mapping[str, Any], model: type[BaseModel]) -> dict[str, str]:
    """The query's fields, for `model` to check.

    Raises `bad_request`, also for a field that the model does not know, and for one that is given twice: which would count?
    """
    fields: dict[str, str] = {}
    for name, value in pairs(scope["query_string"]):
        if name not in model.model_fields:
            raise bad(no_such("field of the query", name, model.model_fields))
        if name in fields:
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
