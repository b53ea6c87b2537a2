"""The driver of one partition: reads the bus, beats, and carries out what the hub asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog

from services.gateway.hub.effects import Effect
from services.gateway.hub.hub import Hub
from services.gateway.hub.port import LookCall
from services.gateway.metrics import Metrics
from services.gateway.node.turn import Turn
from services.kernel.broker.port import Batch, Beat, Beaten, Broker, Looked, Stale
from services.kernel.domain.codes import OpenlineError
from services.kernel.ops import pace
from services.kernel.ops.tasks import Calls

BEAT_SECONDS = 1.0
PAUSE_MAX = 1.0
"""Longest pause between tries while the store does not answer."""

READ_SECONDS = 5.0
"""For which a read waits: longer than canaries are apart, so that none ends without an entry and has to be sent again."""

GATHER = 0.005
"""Seconds from one call to the next in which arrivals and departures are collected: in a rush they share looks, and alone
nobody waits."""

log = structlog.get_logger(__name__)


class PartitionWorker:
    """Reader, beats and looks of a partition.

    `beat_sent_at` is when the last beat went out, `beaten_at` when one was last answered (seconds, loop clock); `full`:
    messages were refused then, since the store's memory is short.
    """

    def __init__(
        self,
        partition: int,
        hub: Hub,
        broker: Broker,
        *,
        beat: Callable[[], Beat],
        on_acknowledged: Callable[[int, Beat, Beaten], None],
        metrics: Metrics,
        turn: Turn,
        begun: float = pace.BEGUN,
    ) -> None:
        """`turn` is told when entries begin and end to be delivered. Workers that count from the same moment, `begun` (the loop's clock), beat together: a store that is woken once for
        all of a gateway's beats does them for less.
        """
        self.partition = partition
        self.hub = hub
        self.beaten_at = float("-inf")
        self.beat_sent_at = float("-inf")
        self.full = False
        self.started = asyncio.Event()
        self._broker = broker
        self._beat = beat
        self._on_beaten = on_acknowledged
        self._metrics = metrics
        self._turn = turn
        self._begun = begun
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._due = float("inf")
        self._pumping = False
        self._is_alone = False
        self._called_at = float("-inf")
        self._calls = Calls(metrics.task_failures, "partition_call")
        self._hurry = asyncio.Event()

    @property
    def position(self) -> int:
        """The bus id up to which everything has arrived; -1 while there is none, so that nothing seems to have."""
        return self.hub.bus_position if self.hub.following else -1

    async def run(self) -> None:
        """Read and beat until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reading())
            group.create_task(self._beating())

    def close(self) -> None:
        """Forget timers and calls that are under way."""
        if self._timer is not None:
            self._timer.cancel()
        self._calls.cancel()

    def pump(self) -> None:
        """Carry out what the hub wants, in the loop's next turn or a little later: what is asked for goes out together."""
        if self._is_alone and self.hub.channels:
            self._is_alone = False
            self._broker.read_now(self.partition)
        if self._pumping:
            return
        self._pumping = True
        wait = self._called_at + GATHER - self._loop.time()
        if wait > 0:
            self._loop.call_later(wait, self._pump)
        else:
            self._loop.call_soon(self._pump)

    def hurry(self) -> None:
        """Beat now."""
        self._hurry.set()

    def reconnect(self) -> None:
        """Drop the connections: the reader hears nothing although beats are answered."""
        self._calls.spawn(self._renew())

    async def _reading(self) -> None:
        pause = 0.05
        while True:
            if not self.hub.following:
                await asyncio.sleep(0.02)
                continue
            take = partial(self._take, self.hub.generation)
            self._is_alone = not self.hub.channels
            try:
                batch = await self._broker.read(
                    self.partition,
                    self.hub.bus_position,
                    block=READ_SECONDS,
                    wanted=self.hub.channels,
                    take=take,
                )
            except OpenlineError as error:
                log.debug("read_failed", partition=self.partition, error=error.message)
                await asyncio.sleep(pause)
                pause = min(PAUSE_MAX, pause * 2)
                continue
            pause = 0.05
            if batch:
                take(batch)

    def _take(self, generation: int, batch: Batch) -> bool:
        """Entries of a read that began in `generation`; whether its position still holds behind them."""
        self._metrics.read((self.partition, batch.to - batch.after))
        self._turn.begin()
        told = True
        try:
            told = self.hub.entries(generation, batch, self._loop.time())
        except Exception:
            log.exception("entries_failed", partition=self.partition)
        self._turn.end()
        if told:
            self._pump()
        return generation == self.hub.generation

    async def _beating(self) -> None:
        while True:
            await self._beat_once()
            wait = pace.ahead(BEAT_SECONDS, self._loop.time() - self._begun)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), wait)
            self._hurry.clear()

    async def _beat_once(self) -> None:
        sent = self.hub.bus_position
        self.beat_sent_at = self._loop.time()
        reply: Beaten | None = None
        beat = self._beat()
        try:
            reply = await self._broker.beat(self.partition, beat)
        except OpenlineError as error:
            log.debug("beat_failed", partition=self.partition, error=error.message)
        if reply is not None:
            self.beaten_at = self._loop.time()
        self.hub.beaten(reply, sent, self._loop.time())
        self._pump()
        if reply is not None:
            self.started.set()
            self._note_memory(reply.full)
            self._on_beaten(self.partition, beat, reply)

    def _note_memory(self, full: bool) -> None:  # noqa: FBT001 - private
        if full and not self.full:
            log.error("store_memory_exhausted", partition=self.partition)
        elif self.full and not full:
            log.info("store_memory_freed", partition=self.partition)
        self.full = full

    def _pump(self) -> None:
        self._pumping = False
        for effect in self.hub.effects():
            self._called_at = self._loop.time()
            self._calls.spawn(self._carry_out(effect))
        self._arm()

    def _arm(self) -> None:
        wake = self.hub.wake
        if self._timer is not None:
            if wake is not None and self._due <= wake:
                return
            self._timer.cancel()
            self._timer = None
        if wake is not None:
            # Remembered here: for a time that has passed uvloop gives a handle that does not know its own.
            self._due = wake
            self._timer = self._loop.call_at(wake, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.hub.tick(self._loop.time())
        self._pump()

    async def _carry_out(self, effect: Effect) -> None:
        if not isinstance(effect, LookCall):
            await self._renew()
        elif await self._look(effect):
            self._pump()
            return
        # Not at once: a reply comes so soon that hardly anybody who came meanwhile would share the next look.
        self.pump()

    async def _look(self, call: LookCall) -> bool:
        """Ask for looks; whether somebody waits for what follows at once: the next page, or a look at the master."""
        replies: list[Looked | Stale] | None = None
        try:
            replies = await self._broker.look(self.partition, call.looks)
        except OpenlineError as error:
            log.debug("look_failed", partition=self.partition, error=error.message)
        self.hub.looked(call, replies, self._loop.time())
        return any(isinstance(reply, Stale) or reply.publications for reply in replies or ())

    async def _renew(self) -> None:
        with suppress(OpenlineError):
            await self._broker.reconnect(self.partition)
        self.hub.reconnected(self._loop.time())
        self._hurry.set()
