"""Connections to Redis: made from a URL, never retrying by themselves, and known to the server by id."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import ReadOnlyError, RedisError

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.pipe import Pipe
from services.kernel.redis.scripts import Script

CONNECT_TIMEOUT = 2.0
ANSWER_TIMEOUT = 5.0
"""Seconds. An answer may wait for the server's disk or a slow neighbour's script; one that hangs may not hang us.
The URL may say otherwise (`?socket_timeout=`, `?socket_connect_timeout=`)."""

_RUN_ID = re.compile(rb"run_id:(\w+)")

Check = Callable[[Pipe], Awaitable[None]]


class Dial:
    """Makes connections to one server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._patience = ANSWER_TIMEOUT
        self._options: dict[str, Any] = {}
        self._make: type[AbstractConnection] | None = None

    def _read_url(self) -> type[AbstractConnection]:
        try:
            options: dict[str, Any] = dict(parse_url(self._url))
        except ValueError as error:
            # The URL itself may hold a password.
            raise ConfigurationError(
                "OPENLINE_REDIS_URL is not a redis://, rediss:// or unix:// URL, for example redis://127.0.0.1:6379/0"
            ) from error
        make: type[AbstractConnection] = options.pop("connection_class", Connection)
        options.pop("max_connections", None)
        self._patience = float(options.pop("socket_timeout", ANSWER_TIMEOUT))
        fixed = {"decode_responses": False, "protocol": 2, "driver_info": None}
        self._options = {"socket_connect_timeout": CONNECT_TIMEOUT, **options, **fixed}
        return make

    async def connect(self, *, blocking: float = 0.0) -> Pipe:
        """An open connection, as the URL says it; `blocking` are the seconds that its commands may block.

        Raises RedisError or OSError, and ConfigurationError for a URL that names no server. A connection that is reset
        while redis-py greets the server makes uvloop raise RuntimeError: that is a lost connection like any other.
        """
        make = self._make = self._make or self._read_url()
        connection = make(**{**self._options, "socket_timeout": blocking + self._patience})
        try:
            await connection.connect()  # type: ignore[no-untyped-call] # redis-py
            return Pipe(connection, blocking + self._patience)
        except (RedisError, OSError):
            await _hang_up(connection)
            raise
        except Exception as error:
            await _hang_up(connection)
            raise Lost(f"the connection was lost while it was opened: {error}") from error
        except BaseException:
            await _hang_up(connection)
            raise


async def _hang_up(connection: AbstractConnection) -> None:
    """Close a connection that could not be opened wholly."""
    with suppress(Exception):  # whatever it says, it is given up
        await connection.disconnect(nowait=True)


async def check_master(pipe: Pipe) -> None:
    """Refuse a server that is not the master: a replica, or a demoted master, would answer reads all the same.

    Raises ReadOnlyError.
    """
    (replication,) = await pipe.ask(("INFO", "replication"))
    if not isinstance(replication, bytes) or b"role:master" not in replication:
        raise ReadOnlyError("this server is not the master")


class Identity:
    """Our client names on each server, so that a new connection can end what an old one left there.

    A connection that was given up may still have commands in the server's input buffer: they would run after those of
    its successor. Ending it first keeps our commands in their order.
    """

    def __init__(self, scripts: Sequence[Script] = ()) -> None:
        self._scripts = scripts
        self._former: tuple[int, bytes] | None = None

    async def introduce(self, pipe: Pipe) -> None:
        """End the former connection and see that the server knows our scripts."""
        scripts = self._scripts
        asked: list[tuple[Any, ...]] = [("CLIENT", "ID"), ("INFO", "server")]
        if scripts:
            asked.append(("SCRIPT", "EXISTS", *(script.sha for script in scripts)))
        number, info, *known = await pipe.ask(*asked)
        todo: list[tuple[Any, ...]] = []
        run = _RUN_ID.search(info) if isinstance(info, bytes) else None
        if run is not None and isinstance(number, int):
            if self._former is not None and self._former[1] == run[1]:
                todo.append(("CLIENT", "KILL", "ID", self._former[0]))
            self._former = (number, run[1])
        flags = known[0] if known and isinstance(known[0], list) else [0] * len(scripts)
        todo += [
            ("SCRIPT", "LOAD", s.source) for s, had in zip(scripts, flags, strict=True) if not had
        ]
        for reply, command in zip(await pipe.ask(*todo) if todo else (), todo, strict=True):
            if isinstance(reply, Exception) and command[0] == "SCRIPT":
                raise reply
