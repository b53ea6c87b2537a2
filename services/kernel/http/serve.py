"""Serving an ASGI application with uvicorn: the port is bound first, signals end it gracefully, hooks mark the way."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import structlog
import uvicorn
from starlette.types import ASGIApp

from services.kernel.domain.limits import Limits
from services.kernel.http.http_protocol import HttpProtocol
from services.kernel.ops import pace
from services.kernel.ops.refusal import refuse

Hook = Callable[["Server"], Awaitable[None]]

log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server with two hooks: after the port listens, and before it stops listening.

    `on_stopping` runs while connections are still served; it bounds its own time.
    """

    def __init__(
        self, config: uvicorn.Config, *, on_started: Hook | None, on_stopping: Hook | None
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._on_stopping = on_stopping
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def stopping(self) -> bool:
        """Whether the server was told to end."""
        return self.should_exit

    async def main_loop(self) -> None:
        """Serve until told to end.

        uvicorn itself looks ten times a second whether it was: in four services that do nothing else that is a good part
        of what they cost, and a process that was just woken for nothing finds its caches cold.
        """
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):  # which also renews the header `date`
            with suppress(TimeoutError):
                async with asyncio.timeout(pace.until_next(1)):
                    await self._told.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn. Runs between two instructions of whatever is running."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then run the hook."""
        await super().startup(sockets=sockets)
        if self.started and self._on_started:
            await self._on_started(self)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Run the hook, then close what is left."""
        if self._on_stopping:
            try:
                await self._on_stopping(self)
            except Exception:
                log.exception("stopping_hook_failed")
        await super().shutdown(sockets=sockets)


def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    name: str,
    limits: Limits,
    trusted_proxies: Sequence[str] = ("127.0.0.1", "::1"),
    on_started: Hook | None = None,
    on_stopping: Hook | None = None,
    listener: socket.socket | None = None,
    **uvicorn_options: Any,
) -> None:
    """Serve `app` until SIGTERM or SIGINT. `name` is the service: its port is set by `OPENLINE_<NAME>_PORT`.

    `listener` is a socket that `bind` has given; without one it is bound here.

    A port that cannot be had ends the process with one line and exit status 2. `limits` are those of a request's head and
    body. `uvicorn_options` go to
    `uvicorn.Config`, for example `ws=<protocol class>` or `timeout_graceful_shutdown=<seconds>`.
    """
    _raise_file_limit()
    listener = listener or bind(host, port, name)
    options: dict[str, Any] = {
        "loop": "uvloop",
        "http": partial(HttpProtocol, limits=limits),
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": True,
        "forwarded_allow_ips": list(trusted_proxies),
        # Longer than a proxy keeps idle connections: else it sends a POST into one that we are just closing.
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": 10,
    }
    config = uvicorn.Config(app, host=host, port=port, **{**options, **uvicorn_options})
    server = Server(config, on_started=on_started, on_stopping=on_stopping)
    # uvicorn raises the signals again after it has ended; ending as told is a success, not a death by signal.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ended)
    bound = listener.getsockname()[1]
    log.info("server_started", host=host, port=bound, pid=os.getpid())
    try:
        server.run(sockets=[listener])
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        _taken(error, host, port, name)
    log.info("server_stopped", port=bound)


def _ended(_number: int, _frame: object) -> None:
    """The signal has been obeyed already."""


def _raise_file_limit() -> None:
    """Take all the files that may be had: a connection is one, and many a container starts with 1,024 of far more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def bind(host: str, port: int, name: str) -> socket.socket:
    """A socket at the address; a port that cannot be had ends the process with one line. `name`: as in `serve`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        _taken(error, host, port, name)
    listener.set_inheritable(False)
    return listener


def _taken(error: OSError, host: str, port: int, name: str) -> NoReturn:
    prefix = f"OPENLINE_{name.upper()}_" if name else "OPENLINE_"
    variable = f"{prefix}PORT"
    if error.errno == errno.EADDRINUSE:
        refuse(f"port {port} on {host} is in use; set {variable} to a free port, or stop its user")
    if error.errno == errno.EACCES:
        refuse(f"port {port} needs privileges; set {variable} to a port from 1024 up")
    refuse(
        f"cannot listen on {host}:{port}: {error.strerror or error}; set {prefix}HOST "
        "to an address of this machine"
    )
