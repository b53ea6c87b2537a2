"""The address of a server's front door, as its clients and its publishers call it."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from openline.errors import OpenlineError

DEFAULT = "http://127.0.0.1:8080"
"""Where `make run` listens."""

_HTTP = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_WEBSOCKET = {"http": "ws", "https": "wss"}


def http_url(url: str) -> str:
    """The address that HTTP calls are made to. Raises OpenlineError (`bad_configuration`) for what is no such address."""
    parts = _checked(url)
    return f"{_HTTP[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}"


def websocket_url(url: str) -> str:
    """The address of the native protocol behind it. Raises OpenlineError (`bad_configuration`) as `http_url` does."""
    scheme, _, rest = http_url(url).partition(":")
    return f"{_WEBSOCKET[scheme]}:{rest if rest.endswith('/ws') else f'{rest}/ws'}"


def _checked(url: str) -> SplitResult:
    """Its parts. No text of a refusal repeats the address: what is wrong with it may be that it holds a secret."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - checked as it is read
    except ValueError:
        raise _wrong(
            "the host or the port of the server's address is none; a port is a number up to 65535"
        ) from None
    if parts.scheme not in _HTTP or not parts.hostname:
        begins = f"{parts.scheme}:" if parts.scheme else "no scheme"
        raise _wrong(
            "the address of a front door is http(s)://host or ws(s)://host, with a port where it has one of its own; "
            f"this one begins with {begins}"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _wrong(
            "no user, password, query or fragment belongs into the address of the server: "
            "give token=, or a publisher client_id= and client_secret="
        )
    return parts


def _wrong(message: str) -> OpenlineError:
    return OpenlineError(message, code="bad_configuration")
