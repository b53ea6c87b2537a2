"""The names of uvicorn that it may change at any time, all in one place, and a check that they are there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import uvicorn

try:
    from uvicorn.config import Config
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
    from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
    from uvicorn.server import ServerState
except ImportError as error:
    _missing: ImportError | None = error
else:
    _missing = None

__all__ = [
    "Config",
    "ServerState",
    "check",
    "client_address",
    "get_local_addr",
    "get_remote_addr",
    "is_ssl",
]


def check() -> None:
    """Raises RuntimeError when uvicorn lacks a name that the server uses."""
    if _missing is not None:
        raise _unsupported(str(_missing)) from _missing
    config = Config(_application, http=_Protocol, ws=_Protocol, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    proxies = ProxyHeadersMiddleware(_application, "127.0.0.1")
    needed: list[tuple[Any, str]] = [
        (state, "connections"),
        (state, "tasks"),
        (state, "default_headers"),
        (config, "loaded_app"),
        (config, "ws_protocol_class"),
        (config, "http_protocol_class"),
        (config, "proxy_headers"),
        (config, "root_path"),
        (proxies, "trusted_hosts"),
        (getattr(proxies, "trusted_hosts", None), "get_trusted_client_address"),
        (getattr(proxies, "trusted_hosts", None), "__contains__"),
    ]
    for thing, name in needed:
        if not hasattr(thing, name):
            raise _unsupported(f"{type(thing).__name__} has no {name}")
    if not isinstance(config.loaded_app, ProxyHeadersMiddleware):
        raise _unsupported("ProxyHeadersMiddleware is not the outermost application")


def client_address(config: Config, transport: Any, headers: Mapping[bytes, bytes]) -> str:
    """The client's address as ProxyHeadersMiddleware puts it into the scope; empty for a Unix socket without one."""
    address = get_remote_addr(transport)
    host = address[0] if address else ""
    if not config.proxy_headers:
        return host
    trusted = config.loaded_app.trusted_hosts
    if host not in trusted:
        return host
    forwarded = headers.get(b"x-forwarded-for")
    if forwarded is None:
        return host
    return trusted.get_trusted_client_address(forwarded.decode("latin1"))[0] or host


class _Protocol(asyncio.Protocol):
    """Stands for a class that a server is configured with."""


async def _application(scope: Any, receive: Any, send: Any) -> None: ...


def _unsupported(what: str) -> RuntimeError:
    return RuntimeError(
        f"uvicorn {uvicorn.__version__} does not fit the WebSocket server: {what}; "
        "install a version that services/gateway/websocket/README.md names"
    )


check()
