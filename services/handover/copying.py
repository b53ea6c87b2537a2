"""A partition's keys, carried from one server to another: all of them while both serve, then what has changed since."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from redis.exceptions import OutOfMemoryError, ResponseError

from services.kernel.redis.keys import Keys
from services.kernel.redis.pipe import Pipe

SCANNED = 1000
"""Keys that a server looks at in one call of SCAN."""

FETCHED = 100
"""Keys that one script reads, and how many bytes of them: the server serves nobody else meanwhile."""

FETCHED_BYTES = 2_097_152

TOGETHER = 4
"""Such scripts under way: one server reads while the other writes."""

BUS = 1000
"""Newest entries of the bus that are carried: whoever is further behind reads the logs."""

_FETCH = """#!lua flags=no-writes,allow-oom
local found, bytes, most = {}, 0, tonumber(ARGV[1])
for place, key in ipairs(KEYS) do
  local dump = redis.call('DUMP', key)
  if not dump then
    found[place] = false
  else
    local mark = string.sub(dump, -8) .. redis.call('PEXPIRETIME', key)
    if mark == ARGV[place + 1] then
      found[place] = ''
    else
      found[place] = {mark, redis.call('PTTL', key), dump}
      bytes = bytes + #dump
    end
  end
  if bytes > most then
    break
  end
end
return found
"""
"""What keys hold, as long as it is not what their marks stand for: checksum and time of expiry. Fewer than asked for where
they are large."""

_WEIGH = """#!lua flags=no-writes,allow-oom
local found = {}
for place, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind == 'hash' then
    found[place] = redis.call('HMGET', key, 'epoch', 'offset', 'began', 'history')
  elseif kind == 'stream' then
    local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
    found[place] = {redis.call('XLEN', key), newest and newest[1]}
  else
    found[place] = kind
  end
end
return found
"""
"""What heads say, and how long logs are and where they end."""


class CopyError(Exception):
    """The keys cannot be carried; the message says why and what would help."""


class Copy:
    """What was carried of a partition, and from what. Raises CopyError, RedisError and OSError throughout."""

    def __init__(self, number: int, *, source: Pipe, target: Pipe, percent: int) -> None:
        """Above `percent` of the target's maxmemory nothing more is put there."""
        self._keys = Keys(number)
        self._source, self._target = source, target
        self._percent = percent
        self._marks: dict[bytes, bytes] = {}
        keys = self._keys
        self._aside = {key.encode() for key in (keys.record, keys.home, keys.bus, keys.mover)}

    @property
    def size(self) -> int:
        """Keys that are at the target."""
        return len(self._marks)

    async def carry(self, say: Callable[[int], None] = lambda _: None) -> int:
        """Carry every key that is new or has changed, and take those away that have gone. Returns how many those were."""
        changed, seen = 0, set()
        async for keys in scan(self._source, self._keys, without=self._aside):
            seen.update(keys)
            chunks = [keys[start : start + FETCHED] for start in range(0, len(keys), FETCHED)]
            for start in range(0, len(chunks), TOGETHER):
                some = chunks[start : start + TOGETHER]
                changed += sum(await asyncio.gather(*map(self._carry, some)))
            await check_room(self._target, self._percent)
            say(len(seen))
        gone = [key for key in self._marks if key not in seen]
        for key in gone:
            del self._marks[key]
        await unlink(self._target, gone)
        return changed + len(gone)

    async def _carry(self, keys: Sequence[bytes]) -> int:
        changed, left = 0, list(keys)
        while left:
            marks = [self._marks.get(key, b"") for key in left]
            (found,) = _good(
                await self._source.ask(("EVAL", _FETCH, len(left), *left, FETCHED_BYTES, *marks))
            )
            restoring: list[tuple[Any, ...]] = []
            for key, what in zip(left, found, strict=False):
                if what is None:
                    self._marks.setdefault(
                        key, b""
                    )  # has just expired: it goes with those that have gone
                elif what:
                    self._marks[key], ttl, dump = what
                    restoring.append(("RESTORE", key, _ttl(ttl), dump, "REPLACE"))
            if restoring:
                _good(await self._target.ask(*restoring))
            changed += len(restoring)
            left = left[len(found) :]
        return changed

    async def carry_bus(self) -> None:
        """Carry the newest entries of the bus, with their ids, so that readers go on where they are."""
        bus = self._keys.bus
        (newest,) = _good(await self._source.ask(("XREVRANGE", bus, "+", "-", "COUNT", BUS)))
        added = [("XADD", bus, stream_id, *fields) for stream_id, fields in reversed(newest)]
        _good(await self._target.ask(("DEL", bus), *added))

    async def compare(self) -> int:
        """How many heads and logs there are, which must be the same on both servers. Raises CopyError for the first other."""
        prefixes = (self._keys.head("").encode(), self._keys.log("").encode())
        keys = [key for key in self._marks if key.startswith(prefixes)]
        for start in range(0, len(keys), FETCHED):
            some = keys[start : start + FETCHED]
            command = ("EVAL", _WEIGH, len(some), *some)
            (theirs,), (ours,) = await asyncio.gather(
                self._source.ask(command), self._target.ask(command)
            )
            for key, one, other in zip(some, *_good([theirs, ours]), strict=True):
                if one != other and b"none" not in (
                    one,
                    other,
                ):  # the time of one that has gone was over
                    raise CopyError(
                        f"{key.decode()} is not the same on both servers: run this again"
                    )
        return len(keys)


async def check_room(target: Pipe, percent: int) -> None:
    """Refuse a server that has used more than so much of its maxmemory. Raises CopyError, RedisError or OSError."""
    (memory,) = _good(await target.ask(("INFO", "memory")))
    found = dict(line.split(b":", 1) for line in memory.split() if b":" in line)
    used, most = int(found[b"used_memory"]), int(found.get(b"maxmemory", 0))
    if most and used * 100 > most * percent:
        raise CopyError(
            f"the new server has used more than OPENLINE_MEMORY_PERCENT={percent} % of its maxmemory:"
            " give it more memory, or take another one"
        )


async def scan(
    pipe: Pipe, keys: Keys, *, without: Iterable[bytes] = ()
) -> AsyncIterator[list[bytes]]:
    """A partition's keys at a server, some at a time; one may come twice. Raises RedisError or OSError."""
    cursor: Any = b"0"
    aside = set(without)
    while True:
        asked = ("SCAN", cursor, "MATCH", keys.every, "COUNT", SCANNED)
        (reply,) = _good(await pipe.ask(asked))
        cursor, found = reply
        yield [key for key in dict.fromkeys(found) if key not in aside]
        if cursor == b"0":
            return


async def unlink(pipe: Pipe, keys: Sequence[bytes]) -> None:
    """Take keys away. Raises RedisError or OSError."""
    for start in range(0, len(keys), SCANNED):
        _good(await pipe.ask(("UNLINK", *keys[start : start + SCANNED])))


def _ttl(left: int) -> int:
    """Milliseconds as RESTORE takes them, where 0 means for ever."""
    return 0 if left < 0 else max(1, left)


def _good(replies: list[Any]) -> list[Any]:
    """The replies. Raises the first that is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            if isinstance(reply, ResponseError) and "DUMP payload" in str(reply):
                raise CopyError(
                    "the new server does not know the format of the old one's data: it must be of the same version"
                    " or a newer one"
                ) from reply
            if isinstance(reply, OutOfMemoryError):
                raise CopyError("the new server is out of memory: give it more") from reply
            raise reply
    return replies
