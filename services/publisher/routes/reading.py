"""From a request to checked values: JSON bodies, raw bodies, queries and forms, each with a refusal that helps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from services.kernel.domain import channels, nesting
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.packed import MAX_DEPTH
from services.publisher.routes import bodies

T = TypeVar("T")

JSON = "application/json"
OCTETS = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

MAX_FIELDS = 100
"""Fields of a query or form: parsing must not cost more than a message does."""

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_WHOLE = re.compile(r"([0-9]{1,9})(\.0+)?\Z")


class BareRequest:
    """A request as ASGI brings it. Of headers that come several times the first counts, but for `authorization`."""

    __slots__ = ("_receive", "authorization", "headers", "media_type", "scope")

    def __init__(self, scope: Scope, receive: Receive | None = None) -> None:
        named = list(scope["headers"])
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(reversed(named))
        self.authorization = [v.decode("latin-1") for name, v in named if name == b"authorization"]
        self.media_type = _plain_type(self.headers.get(b"content-type", b"").decode("latin-1"))
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


def media_type(request: Request) -> str:
    """The body's media type without parameters, in lower case; empty when none is named."""
    return _plain_type(request.headers.get("content-type", ""))


def _plain_type(given: str) -> str:
    return given.partition(";")[0].strip().lower()


def unsupported(*accepted: str) -> HTTPException:
    """415, naming what would do."""
    return HTTPException(415, f"send the body as {' or '.join(accepted)}")


def decode(raw: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The body as a value. Raises `bad_request` that names the place and the reason.

    What is nested too deep to be read is `invalid_data`, as data is that can be read: nothing else in a body is deep.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _bad(f"the body is not as it should be: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # A batch with its messages is three levels around their data.
        if nesting.depth(raw) > MAX_DEPTH + 3:
            raise OpenlineError(
                Code.INVALID_DATA, f"the body is nested too deep: data is at most {MAX_DEPTH} deep"
            ) from None
        raise _bad(f"the body is not JSON: {error}") from None


def decode_field(name: str, raw: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """One field of a body whose others are none of our business. Raises `bad_request` naming it."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad(f"{name}: {error}") from None


async def json(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """The body of a request that must be `application/json`."""
    if media_type(request) != JSON:
        raise unsupported(JSON)
    return decode(await request.body(), decoder)


class Query:
    """The query's fields, each readable once and by name; unknown ones are ignored."""

    def __init__(self, request: Request | BareRequest) -> None:
        self.fields = pairs(request.scope["query_string"])

    def text(self, name: str) -> str | None:
        """The field's text, or None. Raises `bad_request` when it is given twice: which one would count?"""
        found = [value for key, value in self.fields if key == name]
        if len(found) > 1:
            raise _bad(f"give {name} once")
        return found[0] if found else None

    def flag(self, name: str, *, default: bool | None = None) -> bool | None:
        """`true`, `false`, `1` or `0`."""
        text = self.text(name)
        if text is None:
            return default
        if text not in _BOOLEANS:
            raise _bad(f"{name} is true or false")
        return _BOOLEANS[text]

    def number(self, name: str, *, low: int, high: int, default: int) -> int:
        """A whole number within bounds."""
        text = self.text(name)
        if text is None:
            return default
        match = _WHOLE.match(text)
        if match is None or not low <= int(match[1]) <= high:
            raise _bad(f"{name} is a whole number from {low} to {high}")
        return int(match[1])

    def matching(self, name: str, pattern: re.Pattern[str], *, expected: str) -> str | None:
        """Text of a given form."""
        text = self.text(name)
        if text is not None and not pattern.match(text):
            raise _bad(f"{name} is {expected}")
        return text


def pairs(raw: bytes) -> list[tuple[str, str]]:
    """The fields of a query or an urlencoded form, which share one syntax. Raises `bad_request`."""
    if not raw:
        return []
    try:
        return parse_qsl(
            raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except UnicodeDecodeError:
        raise _bad("the query or form is not percent-encoded UTF-8") from None
    except ValueError:
        raise _bad(f"a query or form has at most {MAX_FIELDS} fields") from None


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


def subject(request: Request, name: str) -> str:
    """A user or connection named in the path. Raises `bad_request`."""
    return checked_subject(request.path_params[name], name)


def checked_subject(value: str, name: str) -> str:
    """`value` if it may be a user or connection; `name` is what it is called. Raises `bad_request`."""
    if not channels.is_subject(value):
        raise _bad(f"{name} is 1-128 characters of A-Z a-z 0-9 _ . : @ | = + -")
    return value


def _bad(message: str) -> OpenlineError:
    return OpenlineError(Code.BAD_REQUEST, message[:500])
