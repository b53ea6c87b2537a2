"""The opening handshake without I/O: a request's bytes in, an ASGI scope or a refusal out (RFC 6455 section 4.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import http
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import httptools

Headers = list[tuple[bytes, bytes]]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = b"13"
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-accept: "
)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of ours
    """The HTTP answer to an invalid handshake."""

    def __init__(self, status: int, message: str, *, headers: Headers | None = None) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = headers or []


class Request:
    """A parsed opening handshake; `key` is the client's, ready for `accept_key`.

    `joined` are the headers by name; those that came more than once joined by commas (RFC 9110 section 5.2).
    """

    __slots__ = ("headers", "http_version", "joined", "method", "target")

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.headers: Headers = []
        self.joined: dict[bytes, bytes] = {}
        self.http_version = ""

    # httptools calls these

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, whole."""
        name = name.lower()
        joined = self.joined
        self.headers.append((name, value))
        joined[name] = b"%b,%b" % (joined[name], value) if name in joined else value

    # What the rest asks

    def all(self, name: bytes) -> list[bytes]:
        """The values of a header that is a list, over all its lines; empty elements are left out."""
        value = self.joined.get(name, b"")
        return [item for part in value.split(b",") if (item := part.strip())]

    def names(self, name: bytes, token: bytes) -> bool:
        """Whether a header that is a list has this token; both are without case, the token in lower case."""
        value = self.joined.get(name, b"").lower()
        return value == token or token in [item.strip() for item in value.split(b",")]

    @property
    def key(self) -> bytes:
        """The client's Sec-WebSocket-Key; two of them make one that is not valid."""
        return self.joined.get(b"sec-websocket-key", b"").strip()

    @property
    def subprotocols(self) -> list[str]:
        """What the client offers, in its order; an empty header, which real clients send, offers nothing."""
        return [item.decode("latin-1") for item in self.all(b"sec-websocket-protocol")]

    def location(self) -> tuple[bytes, bytes]:
        """Raw path and query. Raises Refusal 400."""
        try:
            url = httptools.parse_url(self.target)
            url.path.decode("ascii")
        except (httptools.HttpParserInvalidURLError, AttributeError, UnicodeDecodeError) as error:
            raise Refusal(400, "the request's target must be a path") from error
        return url.path, url.query or b""


def parse(data: bytes) -> Request:
    """A request from its bytes, complete to the empty line. Raises Refusal."""
    request = Request()
    parser = httptools.HttpRequestParser(request)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise Refusal(400, "the request is not valid HTTP") from error
    request.method = parser.get_method()
    request.http_version = parser.get_http_version()
    _check(request)
    return request


def _check(request: Request) -> None:
    """The client's requirements of RFC 6455 section 4.2.1."""
    if request.method != b"GET" or request.http_version != "1.1":
        raise Refusal(400, "a WebSocket handshake is a GET request of HTTP/1.1")
    if b"host" not in request.joined:
        raise Refusal(400, "the Host header is missing")
    if b"," in request.joined.get(b"origin", b""):
        raise Refusal(400, "the Origin header must be sent once")
    if not request.names(b"upgrade", b"websocket"):
        raise Refusal(400, "the Upgrade header must name websocket")
    if not request.names(b"connection", b"upgrade"):
        raise Refusal(400, "the Connection header must name Upgrade")
    if request.all(b"sec-websocket-version") != [_VERSION]:
        headers = [(b"sec-websocket-version", _VERSION)]
        raise Refusal(426, "the WebSocket version must be 13", headers=headers)
    if not _valid_key(request.key):
        raise Refusal(400, "Sec-WebSocket-Key must be 16 bytes in base64, sent once")


def _valid_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16  # noqa: PLR2004 - RFC 6455 section 4.1
    except binascii.Error:
        return False


def accept_key(key: bytes) -> bytes:
    """The proof that the handshake was understood (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def accept(
    request: Request, *, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """The 101 answer. Raises ValueError for a subprotocol that was not offered or a header that is not valid."""
    first = _SWITCHING + accept_key(request.key)
    if subprotocol is not None:
        if subprotocol not in request.subprotocols:
            raise ValueError(f"subprotocol {subprotocol!r} was not offered by the client")
        headers = [(b"sec-websocket-protocol", subprotocol.encode("latin-1")), *headers]
    return b"\r\n".join([first, *_lines(headers), b"", b""])


def refuse(refusal: Refusal, headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """The whole answer to a request that is refused; the connection ends with it."""
    body = refusal.message.encode()
    own: Headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    return response(refusal.status, [*own, *refusal.headers, *headers]) + body


def response(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Status line and headers. Raises ValueError where a header would break the answer apart."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    first = f"HTTP/1.1 {status:d} {phrase}".encode()
    return b"\r\n".join([first, *_lines(headers), b"", b""])


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for name, value in headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"the header {name!r} is not valid")
        yield name + b": " + value


def scope(request: Request, *, root_path: str, state: dict[str, Any]) -> dict[str, Any]:
    """The ASGI websocket scope, without what the transport knows (scheme, server, client, extensions)."""
    path, query = request.location()
    return {
        "type": "websocket",
        "http_version": request.http_version,
        "root_path": root_path,
        "path": root_path + unquote(path.decode("ascii")),
        "raw_path": root_path.encode("ascii") + path,
        "query_string": query,
        "headers": request.headers,
        "subprotocols": request.subprotocols,
        "state": state.copy(),
    }
