"""Moving a partition to another server while services run: copied, sealed for a moment, marked as moved, begun there.

The history id goes with it, so no reader is reset. Before the mark everything can be undone, after it the move can only be
finished: from then on no service takes the former server for the partition's, whatever map it has.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from redis.exceptions import RedisError

from services.handover.copying import Copy, CopyError, check_room, scan, unlink
from services.handover.ends import Ends, check_ends, check_neighbours
from services.handover.masters import RefusedError, facts
from services.kernel.broker.redis.checks import ServerChecks
from services.kernel.broker.redis.homes import VERSION, State, all_homes
from services.kernel.broker.redis.partitions import Partitions
from services.kernel.broker.redis.seals import Seal, seal, unseal
from services.kernel.domain.codes import OpenlineError
from services.kernel.redis import keys
from services.kernel.redis.connections import Dial, check_master
from services.kernel.redis.ending import end
from services.kernel.redis.errors import translate
from services.kernel.redis.pipe import Pipe

LOCK_SECONDS = 10.0
"""After which another move may begin where one has died."""

PASSES = 5
"""Copies while both serve, at most; each takes what has changed since the one before."""

FEW = 500
"""Changed keys that are left for the time in which writers are refused."""

MARGIN = 3.0
"""Seconds for which a seal stands longer than we work under it: for undoing it."""

FILE_SECONDS = 1.1
"""For which the end is not told: where files are written each second, a crash would take back that the partition has moved."""

REPLICA_SECONDS = 0.5
"""For which replicas are waited for."""

_LOCK = """#!lua flags=allow-oom
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

_LEAVE = """#!lua flags=allow-oom
local home = redis.call('HMGET', KEYS[2], 'state', 'move')
if home[1] == 'moved' and home[2] == ARGV[1] then
  return 1
end
local found = redis.call('HMGET', KEYS[1], 'seal', 'seal_until')
local time = redis.call('TIME')
if found[1] ~= ARGV[2] or tonumber(found[2]) <= time[1] * 1000 + time[2] / 1000 then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'seal_until', 'moved')
redis.call('HSET', KEYS[2], 'state', 'moved', 'move', ARGV[1])
return 1
"""
"""Gives the partition up, where the seal still stands. The record without an id answers no reader."""

_ARRIVE = """#!lua flags=allow-oom
local info = redis.call('INFO', 'replication')
local home = redis.call('HMGET', KEYS[2], 'state', 'move', 'history')
if home[1] ~= 'arriving' or home[2] ~= ARGV[1] or not string.find(info, 'role:master', 1, true) then
  return 0
end
redis.call('HSET', KEYS[1], 'id', home[3], 'replid', string.match(info, 'master_replid:(%x+)'), 'quiet', '1')
redis.call('HDEL', KEYS[2], 'state', 'move', 'history')
return 1
"""
"""Begins the partition where it was copied to, under the history id that it had."""


Say = Callable[[str], None]


class Move:
    """One partition on its way. `source` is the store by its former map, `target` the same by the new one."""

    def __init__(
        self, number: int, *, source: Partitions, target: Partitions, seconds: float, say: Say
    ) -> None:
        """Writers are refused for `seconds` at most. `say` gets what is done, in lines for people."""
        self._number = number
        self._store = source
        self._keys = keys.Keys(number)
        self._new = target
        self._seconds = seconds
        self._say = say
        self._name = secrets.token_hex(8)
        self._seal: Seal | None = None
        self._installed = False

    async def run(self, install: Callable[[], Awaitable[None]]) -> None:
        """Move it, or go on where a former run has ended. `install` has every service find the new map, once that is safe.

        Raises RefusedError, and ConfigurationError for a server that can never hold it.
        """
        try:
            async with AsyncExitStack() as stack:
                source = await self._connect(stack, self._store.dial(self._number))
                target = await self._connect(stack, self._new.dial(self._number))
                await self._run(source, target, install)
        except CopyError as error:
            raise RefusedError(f"nothing has changed: {error}") from error
        except OpenlineError as error:
            raise RefusedError(
                f"{error.message}; run this again, it says where things are"
            ) from error
        except (RedisError, OSError) as error:
            reason = translate(error).message
            raise RefusedError(f"{reason}; run this again, it says where things are") from error

    async def _connect(self, stack: AsyncExitStack, dial: Dial) -> Pipe:
        pipe = await dial.connect(prepare=check_master)
        stack.callback(pipe.cut)
        return pipe

    async def _run(
        self, source: Pipe, target: Pipe, install: Callable[[], Awaitable[None]]
    ) -> None:
        async with self._locked(target):
            ends = Ends(await self._home(source), await self._home(target))
            check_ends(ends, number=self._number, of=self._store.partitions)
            if ends.states[0] == State.LIVING:
                await self._check_target(source, target, ends)
                await self._copy_and_switch(source, target, ends, install)
            elif ends.states[1] == State.ARRIVING:
                self._name = ends.source["move"]
                self._say(
                    "a former run has given the partition up at its old server: going on from there"
                )
                await self._arrive(target)
                await install()
            await self._end_connections(source)
            await self._clear(source)
            await asyncio.sleep(FILE_SECONDS)
        self._say(f"partition {self._number} lives at its new server")

    async def _home(self, pipe: Pipe) -> dict[str, str]:
        (reply,) = await pipe.ask(("HGETALL", self._keys.home))
        if isinstance(reply, Exception):
            raise reply
        words = [word.decode() for word in reply]
        return dict(zip(words[::2], words[1::2], strict=True))

    async def _check_target(self, source: Pipe, target: Pipe, ends: Ends) -> None:
        """Refuse a server that cannot take it. Leftovers of a former run go."""
        await ServerChecks(trusted_restart=self._store.options.trusted_restart).check(
            target, self._keys.probe
        )
        await check_room(target, self._store.options.memory_percent)
        await self._check_file(source, target)
        check_neighbours(await all_homes(target), ends.source["fleet"])
        if ends.target:  # of a former run, or of the time when it lived there before
            self._say("removing what a former run has left at the new server")
            await self._clear(target)
            await unlink(target, [self._keys.record.encode()])
        aside = (self._keys.mover.encode(), self._keys.home.encode())
        async for found in scan(target, self._keys, without=aside):
            if found:
                raise RefusedError(
                    f"the new server holds keys of this partition, such as {found[0].decode()}: use an empty"
                    f" database, or delete its keys {self._keys.every}"
                )

    async def _check_file(self, source: Pipe, target: Pipe) -> None:
        """Refuse a server that keeps less over a restart than the partition's own."""
        asked = ("CONFIG", "GET", "appendonly")
        (here,), (there,) = await asyncio.gather(source.ask(asked), target.ask(asked))
        if here == [b"appendonly", b"yes"] and there == [b"appendonly", b"no"]:
            raise RefusedError(
                "nothing has changed: the new server keeps no append-only file, the old one does:"
                " set appendonly yes there"
            )

    async def _copy_and_switch(
        self, source: Pipe, target: Pipe, ends: Ends, install: Callable[[], Awaitable[None]]
    ) -> None:
        fleet, of = ends.source["fleet"], ends.source["of"]
        home = {"fleet": fleet, "number": self._number, "of": of, "layout": VERSION}
        home |= {"state": State.ARRIVING.value, "move": self._name}
        fields = [part for pair in home.items() for part in pair]
        given_up = False
        try:
            # From here on no service that has the new map begins it anew at the new server.
            _good(await target.ask(("HSET", self._keys.home, *fields)))
            copy = Copy(
                self._number,
                source=source,
                target=target,
                percent=self._store.options.memory_percent,
            )
            await self._copy(copy)
            await install()
            self._installed = True
            await self._copy(copy)  # it may have taken minutes
            begun = time.monotonic()
            async with asyncio.timeout(self._seconds):
                self._seal = await seal(self._store, self._number, seconds=self._seconds + MARGIN)
                await self._finish_copy(copy, target, self._seal)
                await _wait_for_replicas(target)
                if not await _wait_for_replicas(source):
                    # Promoted without the mark it would serve whoever still has the former map.
                    raise RefusedError(
                        "nothing has changed: a replica of the old server is behind; see why, or end it as a replica"
                    )
            given_up = True  # or may have been: the answer may be lost
            if not await self._leave(source, self._seal):
                given_up = False
                raise RefusedError("nothing has changed: the seal was broken, or its time was over")
            await self._arrive(target)
            self._say(f"writers were refused for {time.monotonic() - begun:.2f} s")
        except TimeoutError:
            raise RefusedError(
                f"nothing has changed: what had to be done while writers are refused took longer than {self._seconds:g} s;"
                " choose a quieter hour, or more --seconds"
            ) from None
        finally:
            if not given_up:
                await self._undo(target)

    async def _copy(self, copy: Copy) -> None:
        """Copy until little is left."""
        for _ in range(PASSES):
            begun = time.monotonic()
            changed = await copy.carry()
            took = time.monotonic() - begun
            self._say(f"copied {changed} keys in {took:.2f} s, {copy.size} are there")
            if changed <= FEW:
                break
        if 2.5 * took > self._seconds:  # it is compared as well
            raise CopyError(
                f"what has to be done while writers are refused takes {2.5 * took:.1f} s or more, longer than"
                f" {self._seconds:g} s: choose a quieter hour, or more --seconds"
            )

    async def _finish_copy(self, copy: Copy, target: Pipe, sealed: Seal) -> None:
        changed = await copy.carry()
        await copy.carry_bus()
        compared = await copy.compare()
        _good(await target.ask(("HSET", self._keys.home, "history", sealed.history)))
        self._say(f"sealed, copied {changed} keys more, compared {compared} heads and logs")

    async def _leave(self, source: Pipe, sealed: Seal) -> bool:
        names = (self._keys.record, self._keys.home)
        (left,) = _good(await source.ask(("EVAL", _LEAVE, 2, *names, self._name, sealed.nonce)))
        await _wait_for_replicas(source)
        return bool(left)

    async def _arrive(self, target: Pipe) -> None:
        names = (self._keys.record, self._keys.home)
        (arrived,) = _good(await target.ask(("EVAL", _ARRIVE, 2, *names, self._name)))
        if not arrived:
            raise RefusedError(
                "the partition was given up at its old server, and the new one does not hold what was copied: look at"
                f" {self._keys.home} there, it must be the server that the move was begun with"
            )
        await _wait_for_replicas(target)

    async def _undo(self, target: Pipe) -> None:
        """Have writers go on at the old server, and take away what was copied."""
        if self._seal is not None and not await unseal(
            self._store, self._seal, replid=self._seal.replid
        ):
            self._say(
                "the seal was over before it could be undone: readers of this partition are reset once"
            )
        if self._installed:
            self._say(
                "services that start with the new map are refused: run this again, or put the former map back"
            )
        with suppress(RedisError, OSError):  # what is left there goes with the next run
            await self._clear(
                target
            )  # the home stays: a service with the new map must not begin the partition there

    async def _end_connections(self, source: Pipe) -> None:
        """End what services have open there for this partition: who only reads would not be told that it has moved."""
        (listed,) = await source.ask(("CLIENT", "LIST"))
        if isinstance(listed, Exception):
            self._say(
                "the old server does not list its connections: restart services that only read"
            )
            return
        mine = f" name={keys.connection(self._number)} "
        ids = [
            line.split()[0].removeprefix("id=")
            for line in listed.decode().splitlines()
            if mine in line
        ]
        if ids:
            await source.ask(*(("CLIENT", "KILL", "ID", one) for one in ids))

    async def _clear(self, pipe: Pipe) -> None:
        """Take away the partition's keys but for record and home, which say what it is there."""
        kept = [key.encode() for key in (self._keys.record, self._keys.home, self._keys.mover)]
        async for found in scan(pipe, self._keys, without=kept):
            await unlink(pipe, found)

    @asynccontextmanager
    async def _locked(self, target: Pipe) -> AsyncIterator[None]:
        """Nobody else moves this partition there meanwhile. Raises RefusedError."""
        mine = secrets.token_hex(8)
        command = ("EVAL", _LOCK, 1, self._keys.mover, mine, int(LOCK_SECONDS * 1000))
        (got,) = _good(await target.ask(command))
        if not got:
            raise RefusedError(
                "this partition is being moved already, or was until a moment ago:"
                f" try again in {LOCK_SECONDS:g} s"
            )

        async def keep() -> None:
            while True:
                await asyncio.sleep(LOCK_SECONDS / 4)
                await target.ask(command)

        keeping = asyncio.create_task(keep())
        try:
            yield
        finally:
            await end(keeping)
            with suppress(RedisError, OSError):
                await target.ask(("DEL", self._keys.mover))


async def _wait_for_replicas(pipe: Pipe) -> bool:
    """Whether what was written is at all replicas within a moment, as one of them may be the master in the next."""
    (replication,) = _good(await pipe.ask(("INFO", "replication")))
    replicas = int(facts(replication).get("connected_slaves", "0"))
    if not replicas:
        return True
    (have,) = await pipe.ask(("WAIT", replicas, int(REPLICA_SECONDS * 1000)))
    return isinstance(have, int) and have >= replicas


def _good(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
