"""Connections to Redis: made from a URL, never retrying by themselves, and known to the server by id."""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from weakref import WeakSet

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.exceptions import AuthenticationError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as Lost

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis import redirects
from services.kernel.redis.access import Access, Passwords
from services.kernel.redis.errors import translate
from services.kernel.redis.locator import Fixed, Locator
from services.kernel.redis.pipe import Pipe
from services.kernel.redis.scripts import Script
from services.kernel.redis.store_url import Address

CONNECT_TIMEOUT = 2.0
ANSWER_TIMEOUT = 5.0
"""Seconds. An answer may wait for the server's disk or a slow neighbour's script; one that hangs may not hang us.
The URL may say otherwise (`?socket_timeout=`, `?socket_connect_timeout=`)."""

_log = logging.getLogger(__name__)

_RUN_ID = re.compile(rb"run_id:(\w+)")

Check = Callable[[Pipe], Awaitable[None]]


class Dial:
    """Makes a partition's connections to one server: that of the URL, or the master that `locator` finds, with its options."""

    def __init__(
        self,
        url: str,
        *,
        locator: Locator | None = None,
        partition: int = 0,
        access: Access | None = None,
        passwords: Passwords | None = None,
    ) -> None:
        """`passwords` count for a URL that holds none."""
        self._url = url
        self._access = access or Access()
        self._passwords = passwords
        self._pipes: WeakSet[Pipe] = WeakSet()
        self._locator = locator or Fixed()
        self._partition = partition
        self._patience = ANSWER_TIMEOUT
        self._options: dict[str, Any] = {}
        self._make: type[AbstractConnection] | None = None
        self._opening: set[asyncio.Timeout] = set()
        self._given_passwords = passwords
        self._aims = 0

    @property
    def partition(self) -> int:
        """The partition whose connections these are."""
        return self._partition

    def aim(self, url: str, locator: Locator) -> None:
        """From now on lead to another server; what is being opened begins anew, what is open stays."""
        self._url, self._locator = url, locator
        self._passwords, self._make = self._given_passwords, None
        self._aims += 1

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
        if "password" in options:
            self._passwords = None
        self._patience = float(options.pop("socket_timeout", ANSWER_TIMEOUT))
        fixed = {"decode_responses": False, "protocol": 2, "driver_info": None}
        self._options = {"socket_connect_timeout": CONNECT_TIMEOUT, **options, **fixed}
        return make

    async def connect(self, *, blocking: float = 0.0, prepare: Check | None = None) -> Pipe:
        """An open connection, as the URL says it; `blocking` are the seconds that its commands may block.

        `prepare` is done with it before anybody gets it, and raises what refuses it. When the master moves meanwhile, all
        begins anew with the next one.

        Raises RedisError or OSError, and ConfigurationError for a URL that names no server. A connection that is reset
        while redis-py greets the server makes uvloop raise RuntimeError: that is a lost connection like any other. A
        server that was found and is not the master raises ReadOnlyError.
        """
        while True:
            aims = self._aims
            address = await self._locator.find(self._partition)
            limit = asyncio.timeout(None)
            self._opening.add(limit)
            try:
                async with limit:
                    pipe = await self._open(address, blocking)
                    await _prepare(pipe, *([] if address is None else [check_master]), prepare)
                    # The move may have come with the last answer, before the limit could end this.
                    if aims == self._aims:
                        return pipe
                    pipe.cut()
            except (RedisError, OSError) as error:
                if self._passwords is not None and isinstance(error, AuthenticationError):
                    self._passwords.refuse()
                if aims == self._aims:  # else the master has moved meanwhile
                    self._locator.doubt(self._partition)
                    raise
            finally:
                self._opening.discard(limit)

    def moved(self) -> None:
        """Begin anew what is being opened: the master is elsewhere, and a dead one would be waited for."""
        self._aims += 1
        for limit in self._opening:
            limit.reschedule(asyncio.get_running_loop().time())

    def doubt(self) -> None:
        """Have the locator look again: the server says that it is not the master."""
        self._locator.doubt(self._partition)

    def redirect(self, error: Exception) -> bool:
        """Tell the locator of MOVED, ASK or TRYAGAIN; whether another try may lead to the server that serves the partition."""
        return self._locator.redirect(self._partition, redirects.target(error))

    def authenticate(self, password: str) -> None:
        """Give the next password on open connections: with the former one the server would end them."""
        if self._passwords is None:
            return
        user = self._options.get("username")
        command = ("AUTH", *([user] if user else []), password)
        for pipe in self._pipes:
            if not pipe.ended:
                pipe.send([command]).add_done_callback(_note_answer)

    async def messages(self, *channels: str) -> AsyncGenerator[None, None]:
        """One turn for each message that the server publishes there, for ever. Raises as `connect` does."""
        address = await self._locator.find(self._partition)
        connection = self._connection(address, password=await self._password())
        async with _closed_if_lost(connection):
            await connection.connect()  # type: ignore[no-untyped-call] # redis-py
            await connection.send_command("SUBSCRIBE", *channels)
            for _ in channels:
                await connection.read_response(timeout=self._patience)
            while True:
                await connection.read_response(timeout=math.inf)
                yield

    async def _open(self, address: Address | None, blocking: float) -> Pipe:
        password = await self._password()
        connection = self._connection(address, password=password, blocking=blocking)
        async with _closed_if_lost(connection):
            await connection.connect()  # type: ignore[no-untyped-call] # redis-py
            pipe = Pipe(connection, blocking + self._patience)
        self._pipes.add(pipe)
        return pipe

    async def _password(self) -> dict[str, str]:
        """redis-py's option for it, unless the URL holds one or there is none."""
        self._make = self._make or self._read_url()
        return {} if self._passwords is None else {"password": await self._passwords.current()}

    def _connection(
        self, address: Address | None, *, password: dict[str, str], blocking: float = 0.0
    ) -> AbstractConnection:
        make = self._make = self._make or self._read_url()
        where = {} if address is None else address._asdict()
        tls = self._access.certificates() if issubclass(make, SSLConnection) else {}
        patience = {"socket_timeout": blocking + self._patience}
        return make(**{**tls, **self._options, **password, **where, **patience})


def _note_answer(answer: asyncio.Future[list[Any]]) -> None:
    if not answer.cancelled() and isinstance(refused := answer.result()[0], RedisError):
        _log.warning("redis_password_refused", extra={"reason": translate(refused).message})


@asynccontextmanager
async def _closed_if_lost(connection: AbstractConnection) -> AsyncIterator[None]:
    """Close a connection that could not be opened or used wholly; what no Redis error is is a lost connection, too."""
    try:
        yield
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


async def _prepare(pipe: Pipe, *checks: Check | None) -> None:
    try:
        for check in checks:
            if check is not None:
                await check(pipe)
    except BaseException:
        pipe.cut()
        raise


class Identity:
    """Our client names on each server, so that a new connection can end what an old one left there.

    A connection that was given up may still have commands in the server's input buffer: they would run after those of
    its successor. Ending it first keeps our commands in their order.
    """

    def __init__(self, scripts: Sequence[Script] = (), *, name: str = "") -> None:
        """`name` is what the server calls the connection, so that whoever moves a partition can end those to it."""
        self._scripts = scripts
        self._name = name
        self._former: tuple[int, bytes] | None = None

    @property
    def process(self) -> bytes | None:
        """The run id of the server that was told last; None where it told none."""
        return None if self._former is None else self._former[1]

    async def introduce(self, pipe: Pipe) -> None:
        """End the former connection and see that the server knows our scripts."""
        scripts = self._scripts
        asked: list[tuple[Any, ...]] = [("CLIENT", "ID"), ("INFO", "server")]
        if scripts:
            asked.append(("SCRIPT", "EXISTS", *(script.sha for script in scripts)))
        number, info, *known = await pipe.ask(*asked)
        todo: list[tuple[Any, ...]] = [("CLIENT", "SETNAME", self._name)] if self._name else []
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
