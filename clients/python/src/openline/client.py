"""The client: it stays connected, reads channels, publishes, and comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import random
import secrets
import ssl as tls
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from time import perf_counter
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar, overload

from openline import address, backoff, codes, protocol
from openline.buffer import LIMIT, Buffer, Crowd
from openline.channel import Channel, OnLost
from openline.codes import End, Next
from openline.errors import OpenlineError, Unauthorized
from openline.feed import Feed, Reader, Wire
from openline.line import GREETING_SECONDS, Dial, Line
from openline.outbox import Entry, Outbox, Pace
from openline.protocol import Frame
from openline.session import Session
from openline.tokens import TokenProvider, Tokens
from openline.types import Connected, ConnectionState, Direct, Position, Published
from openline.validators import validator

T = TypeVar("T")
OnDirect: TypeAlias = Callable[[Direct], Awaitable[None] | None]

REQUEST_SECONDS = 30.0
RENEW_AGAIN = (3.0, 5.0)
"""Seconds between two tries to get a new token while the old one still counts."""

log = logging.getLogger("openline")


class Client:
    """A connection to an Openline server that comes back by itself, for asyncio.

    `url` is the front door, http(s) or ws(s); default OPENLINE_URL, else the server of `make run`. `token` is a
    token, or a function, async or not, that takes why it is asked ("first", "renew", "expired") and gives one; None
    is OPENLINE_TOKEN, else a session without a user. A function that raises `Unauthorized` ends the client.

    `queue` publishes may wait for `patience` seconds, over reconnects. `backoff` is the base and the cap of the
    wait before a reconnect, in seconds. `positions` keeps, by channel, what the application has taken: given again
    to a later client, each channel goes on there. `codec` is "json", or "msgpack" where `ormsgpack` or `msgspec` is
    installed. `probe`: after so many seconds of silence the server is asked whether it lives. `buffer` events of a
    channel wait for whoever reads it; then reading stops. `strict`: channels raise ContinuityLost. `on_lost` is told
    when messages of a channel may be missing, `on_direct` of messages to this connection; both may be async.
    `ssl` is a context of one's own; `proxy` an address, None for none, True for what the environment names.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | TokenProvider | None = None,
        queue: int = 500,
        patience: float = 240.0,
        backoff: tuple[float, float] = (0.5, 20.0),
        positions: MutableMapping[str, Position] | None = None,
        codec: Literal["json", "msgpack"] = "json",
        probe: float = 10.0,
        buffer: int = LIMIT,
        strict: bool = False,
        on_lost: OnLost | None = None,
        on_direct: OnDirect | None = None,
        ssl: tls.SSLContext | None = None,
        proxy: str | Literal[True] | None = True,
    ) -> None:
        self._codec = protocol.codec(codec)
        server = address.websocket_url(url or os.environ.get("OPENLINE_URL") or address.DEFAULT)
        self._dial_settings = Dial(server, self._codec, probe, ssl, proxy)
        self._tokens = Tokens(
            token if token is not None else os.environ.get("OPENLINE_TOKEN") or None
        )
        self._positions = positions
        self._backoff = backoff
        self._buffer = buffer
        self._strict = strict
        self._on_lost = on_lost
        self._on_direct = on_direct
        self._random = random.Random()  # noqa: S311 - it spreads attempts over time
        outbox = Outbox(Pace(), limit=queue, patience=patience)
        self._session = Session(
            self, outbox, client=secrets.token_hex(16), random=self._random.random
        )
        self._crowd = Crowd()
        self._state: ConnectionState = "idle"
        self._error: OpenlineError | None = None
        self._main: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._move_timer: asyncio.TimerHandle | None = None
        self._failures = 0
        self._expired = False

    # ----------------------------------------------------------------------------------------- come and leave

    async def __aenter__(self) -> Self:
        """Begin to connect; `online()` waits until it is."""
        if self._state != "idle":
            raise RuntimeError("a client is entered once; make another one")
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._move = asyncio.Event()
        self._enter("connecting")
        self._main = self._spawn(self._run())
        self._spawn(self._tick())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the connection, within a second. Who still waits for an answer gets `disconnected`."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._tokens.close()
        self._stop_moving()
        ended = OpenlineError("the client has been left", code="disconnected")
        for feed in self._session.feeds.values():
            for reader in feed.readers:
                assert isinstance(reader.inbox, Buffer)
                reader.inbox.leave(ended)
        self._session.feeds.clear()
        self._session.fail(ended)
        if self._error is None:
            self._error = ended
        self._enter("closed")

    # ------------------------------------------------------------------------------------------------- its state

    @property
    def state(self) -> ConnectionState:
        """`idle`, `connecting`, `online`, `moving` (to another node), `waiting`, `failed` or `closed`."""
        return self._state

    @property
    def connection(self) -> Connected | None:
        """What the server said of the connection that stands; None when none does."""
        return self._session.connected if self._session.line is not None else None

    @property
    def error(self) -> OpenlineError | None:
        """Why it has failed or ended."""
        return self._error

    async def online(self) -> Connected:
        """Wait until the connection stands. Raises OpenlineError when the client has failed or was left."""
        while True:
            if (connection := self.connection) is not None:
                return connection
            self._check()
            changed = self._changed
            await changed.wait()

    async def ping(self) -> float:
        """Ask the server for a sign of life; the seconds that it took. Raises OpenlineError."""
        await self.online()
        # uvloop's own clock counts whole milliseconds: a near server would take 0.
        before = perf_counter()
        await self.request({"type": "ping"})
        return perf_counter() - before

    # ------------------------------------------------------------------------------------------------- channels

    @overload
    def channel(
        self,
        name: str,
        kind: None = None,
        *,
        last: int = 0,
        since: Position | None = None,
        ordered: bool = False,
    ) -> Channel[Any]: ...
    @overload
    def channel(
        self,
        name: str,
        kind: type[T],
        *,
        last: int = 0,
        since: Position | None = None,
        ordered: bool = False,
    ) -> Channel[T]: ...
    @overload
    def channel(
        self,
        name: str,
        kind: Callable[[Any], T],
        *,
        last: int = 0,
        since: Position | None = None,
        ordered: bool = False,
    ) -> Channel[T]: ...
    def channel(
        self,
        name: str,
        kind: type[T] | Callable[[Any], T] | None = None,
        *,
        last: int = 0,
        since: Position | None = None,
        ordered: bool = False,
    ) -> Channel[Any]:
        """A channel, to be entered by `async with`.

        `kind` is what its data is: a pydantic model, a dataclass, a TypedDict, or a function that takes the plain data
        and gives the value or raises ValueError. It begins with its `last` newest messages, or behind `since`; a
        position that `positions` has goes before both `last` and the present. `ordered`: one publish at a time is
        under way, so that a refused one holds back those behind it.
        """
        if since is None and self._positions is not None:
            since = self._positions.get(name)
        return Channel(
            self,
            name,
            validator(kind),
            last=last,
            since=since,
            ordered=ordered,
            strict=self._strict,
            on_lost=self._on_lost,
        )

    def join(self, channel: Channel[Any]) -> tuple[Feed, Reader, Buffer]:
        """See channel.Host."""
        self._check()
        others = self._session.feeds.get(channel.name)
        beside = others.readers[0].inbox if others is not None else None
        assert beside is None or isinstance(beside, Buffer)
        buffer = Buffer(self._crowd, self._buffer, beside=beside)
        reader = Reader(buffer, since=channel.since, last=channel.last, page=self._buffer)
        feed = self._session.open(channel.name, reader, self._loop.time())
        self._wake.set()
        return feed, reader, buffer

    def leave(self, feed: Feed, reader: Reader) -> None:
        """See channel.Host."""
        self._session.close(feed, reader)

    def keep(self, feed: Feed) -> None:
        """See channel.Host."""
        if self._positions is not None:
            taken = feed.taken(self._positions.get(feed.name))
            if taken is not None:
                self._positions[feed.name] = taken

    # ---------------------------------------------------------------------------------------- publish and ask

    async def publish(
        self,
        channel: str,
        data: Any,
        *,
        key: str | None = None,
        conflate_key: str | None = None,
        echo: bool = True,
        ephemeral: bool = False,
    ) -> Published:
        """Publish in a channel that need not be entered; see `Channel.publish`."""
        return await self.channel(channel).publish(
            data, key=key, conflate_key=conflate_key, echo=echo, ephemeral=ephemeral
        )

    async def publish_plain(
        self,
        channel: str,
        data: Any,
        *,
        key: str | None,
        conflate_key: str | None,
        echo: bool,
        ephemeral: bool,
        ordered: bool,
    ) -> Published:
        """See channel.Host."""
        self._check()
        number = self._session.id()
        frame: Frame = {"type": "publish", "id": number, "channel": channel, "data": data}
        if ephemeral:
            frame["ephemeral"] = True
        else:
            frame["key"] = key = key or secrets.token_hex(16)
        if conflate_key is not None:
            frame["conflate_key"] = conflate_key
        if not echo:
            frame["echo"] = False
        answer: asyncio.Future[Published | OpenlineError] = self._loop.create_future()
        entry = Entry(
            number,
            channel,
            self._codec.encode(frame),
            _settle(answer),
            key=None if ephemeral else key,
            echo=echo,
        )
        outbox = self._session.outbox
        outbox.add(entry, self._loop.time(), ordered=ordered)
        self._hurry()
        try:
            result = await answer
        finally:
            outbox.remove(number)
        if isinstance(result, OpenlineError):
            raise result
        return Published(result.epoch, result.offset, result.duplicate, channel)

    async def request(self, frame: Frame) -> Frame:
        """See channel.Host. Raises `timeout` after 30 s."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                while True:
                    answer = await self._ask(frame)
                    if not isinstance(answer, OpenlineError):
                        return answer
                    if not answer.temporary:
                        raise answer
                    wait = 1.0 if answer.retry_after is None else answer.retry_after
                    await asyncio.sleep(wait * (1 + self._random.random()))
        except TimeoutError:
            raise OpenlineError(
                f"no answer to {frame['type']} within {REQUEST_SECONDS:g} s",
                code="timeout",
                temporary=True,
            ) from None

    def tell(self, frame: Frame) -> None:
        """See channel.Host."""
        if self._session.line is not None:
            self._session.line.send(frame)

    async def _ask(self, frame: Frame) -> Frame | OpenlineError:
        self._check()
        answer: asyncio.Future[Frame | OpenlineError] = self._loop.create_future()
        number = self._session.ask(frame, _settle(answer))
        self._crowd.change()
        try:
            return await answer
        finally:
            self._session.forget(number)

    def _hurry(self) -> None:
        """Something is to be sent, and its answer is awaited."""
        self._session.due(self._loop.time())
        self._wake.set()
        self._crowd.change()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._main is None:
            raise RuntimeError("enter the client first: async with Client(...) as client")

    # ----------------------------------------------------------------------------- what the connection tells us

    def received(self, line: Line, frame: Frame, now: float) -> None:
        """See line.Handler."""
        self._session.received(line, frame, now)
        if frame["type"] != "message":
            self._wake.set()

    def is_awaited(self) -> bool:
        """See line.Handler."""
        return self._session.is_awaited

    def greeted(self, line: Wire, connected: Connected) -> None:
        """See session.Owner."""
        assert isinstance(line, Line)
        self._stop_moving()
        line.greet(connected.ping)
        self._enter("online")

    def expiring(self, line: Wire) -> None:
        """See session.Owner."""
        if self._renewing is None or self._renewing.done():
            self._renewing = self._spawn(self._renew(line))

    def renewal_refused(self, line: Wire, error: OpenlineError) -> None:
        """See session.Owner."""
        log.warning("the new token was refused: %s", error)
        if error.code == "forbidden":
            line.restart("the user has changed")
        elif error.temporary and (self._renewing is None or self._renewing.done()):
            self._renewing = self._spawn(self._renew(line, later=True))

    def leaving(self, line: Wire, within: float) -> None:
        """See session.Owner."""
        if line is self._session.line and self._move_timer is None:
            log.info("the node leaves; moving within %g s", within)
            self._move_timer = self._loop.call_later(within * self._random.random(), self._move.set)

    def direct(self, message: Direct) -> None:
        """See session.Owner."""
        if self._on_direct is None:
            return
        try:
            result = self._on_direct(message)
        except Exception:
            log.exception("on_direct failed")
            return
        if inspect.isawaitable(result):
            self._spawn(_reported(result))

    # ------------------------------------------------------------------------------------------- stay connected

    async def _run(self) -> None:
        try:
            while True:
                end = await self._attempt()
                if end.next is Next.STAY_AWAY:
                    self._fail(_final(end))
                    return
                self._enter("waiting")
                await asyncio.sleep(self._wait(end))
                self._enter("connecting")
        except Unauthorized as error:
            self._fail(error)
        except Exception as error:
            log.exception("the client has failed")
            self._fail(OpenlineError(f"the client has failed: {error!r}", code="internal"))

    def _wait(self, end: End) -> float:
        """Seconds until the next attempt."""
        self._failures = backoff.count(self._failures, lived=end.online_for)
        base, cap = self._backoff
        wait = backoff.wait(
            max(0, self._failures - 1),
            base=base,
            cap=cap,
            random=self._random.random(),
            least=end.least,
        )
        if end.next is Next.NEW_TOKEN:
            self._expired = True
            wait = 0.0 if self._failures <= 1 else wait
        # One that was never let in may have the wrong address: said once, where people look.
        level = logging.WARNING if self._failures == 1 and not end.online_for else logging.INFO
        log.log(level, "disconnected (%s, %s); again in %.1f s", end.close, end.reason, wait)
        return wait

    async def _attempt(self) -> End:
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                if self._expired:
                    token = await self._tokens.get("expired")
                    self._expired = False
                else:
                    token = await self._tokens.current()
        except Unauthorized:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the provider raises: the next attempt may go well
            return End(Next.RETURN, f"no token: {error!r}")
        return await self._serve(token)

    async def _serve(self, token: str | None) -> End:
        """One connection, and those that take over from it when its node leaves; how the last one ended."""
        line, running = self._dial(token)
        rising = None
        try:
            while True:
                await _first(running, self._move.wait())
                if running.done():
                    return self._over(line, running)
                self._move.clear()
                self._enter("moving")
                successor, rising = self._dial(await self._tokens.current())
                await _first(rising, successor.greeted.wait())
                if not rising.done():
                    line.retire()
                    self._session.lost(line, self._loop.time())
                    running.cancel()
                    await asyncio.gather(running, return_exceptions=True)
                    line, running, rising = successor, rising, None
                elif running.done():
                    self._over(line, running)
                    return self._over(successor, rising)
                else:
                    await self._move_again(self._over(successor, rising), running)
        finally:
            tasks = [task for task in (running, rising) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _move_again(self, end: End, running: asyncio.Task[End]) -> None:
        """The successor was not let in while the connection still stands: wait, then try another one."""
        self._enter("online")
        await _first(running, asyncio.sleep(self._wait(end)))
        self._move.set()

    def _dial(self, token: str | None) -> tuple[Line, asyncio.Task[End]]:
        line = Line(self._dial_settings, self, self._crowd)
        run = line.run(lambda: self._session.flight(line, token))
        return line, asyncio.create_task(run, name="openline-line")

    def _over(self, line: Line, running: asyncio.Task[End]) -> End:
        self._session.lost(line, self._loop.time())
        return running.result()

    def _stop_moving(self) -> None:
        if self._move_timer is not None:
            self._move_timer.cancel()
            self._move_timer = None
        self._move.clear()

    async def _renew(self, line: Wire, *, later: bool = False) -> None:
        """Get a new token and hand it over, while this connection stands."""
        if self._tokens.is_fixed:
            log.warning("the token ends soon; give Client a function that gets new ones")
            return
        while True:
            if later:
                await asyncio.sleep(self._random.uniform(*RENEW_AGAIN))
            later = True
            if line is not self._session.line:
                return
            try:
                token = await self._tokens.get("renew")
            except Unauthorized as error:
                self._fail(error)
                return
            except Exception as error:  # noqa: BLE001 - the provider's; the old token still counts
                log.warning("no new token: %r", error)
                continue
            if token is not None and line is self._session.line:
                self._session.renew(line, token)
            return

    async def _tick(self) -> None:
        """Send what is due when its time comes."""
        while True:
            self._wake.clear()
            now = self._loop.time()
            self._session.due(now)
            until = self._session.next(now)
            timer = None if until is None else self._loop.call_at(until, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    def _fail(self, error: OpenlineError) -> None:
        """For good: whoever waits is told why."""
        self._error = error
        self._session.fail(error)
        self._enter("failed")
        if self._main is not None and self._main is not asyncio.current_task():
            self._main.cancel()

    def _enter(self, state: ConnectionState) -> None:
        if state != self._state:
            self._state = state
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name="openline")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _settle(answer: asyncio.Future[T]) -> Callable[[T], None]:
    def settle(result: T) -> None:
        if not answer.done():
            answer.set_result(result)

    return settle


async def _first(task: asyncio.Task[Any], other: Coroutine[Any, Any, Any]) -> None:
    """Wait until one of them is done; the other coroutine is ended, the task is not."""
    waiting = asyncio.create_task(other, name="openline-wait")
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def _reported(result: Awaitable[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await result
        except Exception:
            log.exception("on_direct failed")


def _final(end: End) -> OpenlineError:
    """Why a client stays away."""
    if end.status is not None or end.close in codes.OF_CREDENTIALS:
        return Unauthorized(f"the server refused us: {end.reason}", close=end.close)
    return OpenlineError(
        f"the server said to stay away: {end.close} {end.reason}".rstrip(),
        code="closed",
        close=end.close,
    )
