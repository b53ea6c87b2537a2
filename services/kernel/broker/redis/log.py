"""Logs and heads of channels over Redis Streams."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from services.kernel.broker.port import (
    PAGE,
    PAGE_BYTES,
    Done,
    Draft,
    History,
    Log,
    Look,
    Looked,
    Outcome,
    Published,
    Stale,
)
from services.kernel.broker.redis import entries
from services.kernel.broker.redis.log_calls import (
    batches,
    command,
    is_counted,
    is_plain,
    single,
)
from services.kernel.broker.redis.partitions import Partition, Partitions, fresh, run
from services.kernel.broker.ttls import HEAD_TTL
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication
from services.kernel.redis.errors import translate
from services.kernel.redis.link import Command

_log = logging.getLogger(__name__)

HISTORY_BYTES = 1_048_576
"""Bytes of data that a page of `history` holds at most (one publication always fits)."""

_STORED, _DUPLICATE, _CONFLICT = range(3)
_TRIES = 3


class RedisLog:
    """The `Log` of the port."""

    def __init__(self, redis: Partitions) -> None:
        self._redis = redis

    async def publish(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """Store drafts, in order for each channel; one result a draft.

        When the connection is lost meanwhile, drafts with a key are sent once more. Those without are refused as
        `unavailable`: they may have been stored.
        """
        if self._redis.partitions == 1:
            return await self._store(self._redis.parts[0], drafts)
        by_part: dict[int, list[int]] = defaultdict(list)
        for place, draft in enumerate(drafts):
            by_part[self._redis.partition(draft.channel)].append(place)
        stored = await asyncio.gather(
            *(
                self._store(self._redis.parts[number], [drafts[place] for place in places])
                for number, places in by_part.items()
            )
        )
        results: list[Any] = [None] * len(drafts)
        for places, some in zip(by_part.values(), stored, strict=True):
            for place, result in zip(places, some, strict=True):
                results[place] = result
        return results

    def publish_one(self, draft: Draft, done: Done) -> None:
        """The same for one draft without waiting, by a script of its own where it is a plain one."""
        part, candidate = self._redis.of(draft.channel), fresh()
        if is_plain(draft) and not is_counted(candidate):
            bus_length = self._redis.options.bus_length
            command = single(part.keys, draft, bus_length=bus_length, epoch=candidate)
        else:
            command = self._together(part, [draft], self._redis.bounded(candidate))
        part.writes.send([command], partial(self._stored_one, part, draft, done))

    def _stored_one(
        self, part: Partition, draft: Draft, done: Done, replies: Sequence[Any]
    ) -> None:
        reply = replies[0]
        if reply is None:  # the script for a plain one leaves it to the one for batches
            command = self._together(part, [draft], self._redis.bounded())
            part.writes.send([command], partial(self._stored_one, part, draft, done))
            return
        lost = isinstance(reply, Exception)
        try:
            outcome = translate(reply) if lost else _published(draft, *reply)
        except Exception:  # noqa: BLE001 - whoever waits for it, and all behind, would wait for ever
            _log.exception("publish_failed")
            outcome = OpenlineError(Code.INTERNAL, "it is not known whether the message was stored")
        self._redis.count("publish", 1, _failed(outcome))
        done(outcome)

    async def _store(self, part: Partition, drafts: Sequence[Draft]) -> list[Outcome]:
        fence = self._redis.bounded()
        stored_together = list(batches(drafts))
        replies = await part.writes.call(
            [self._together(part, batch, fence) for batch in stored_together]
        )
        results: list[Outcome] = []
        for batch, reply in zip(stored_together, replies, strict=True):
            if isinstance(reply, Exception):
                results += [translate(reply)] * len(batch)
            else:
                each = iter(reply)
                results += [
                    _published(draft, next(each), next(each), next(each), next(each))
                    for draft in batch
                ]
        self._redis.count("publish", len(results), sum(map(_failed, results)))
        return results

    def _together(self, part: Partition, drafts: Sequence[Draft], fence: Sequence[Any]) -> Command:
        return command(part.keys, fence, epoch=fresh(), lease=self._redis.lease, drafts=drafts)

    async def look(self, partition: int, looks: Sequence[Look]) -> list[Looked | Stale]:
        """Compare channels of one partition with their logs; one round trip."""
        part = self._redis.parts[partition]
        commands = [self._look(part, look) for look in looks]
        replies = await self._redis.call("look", part.reads, commands)
        return [_looked(reply) for reply in replies]

    def _look(self, part: Partition, look: Look) -> Command:
        k, channel = part.keys, look.channel
        names = (k.record, k.head(channel), k.log(channel), k.bus)
        since = [value for position in look.since for value in position]
        asked = (PAGE, PAGE_BYTES, look.last, int(look.resume), *since)
        candidate, trusted, _ = self._redis.fence()
        if look.epoch:
            args = (candidate, trusted, look.epoch, *asked)
            return run("open", names, *args, again=True, lanes=(channel,))
        return run("look", names, trusted, *asked, again=True)

    async def open(self, channel: str, epoch: str) -> None:
        """Make head and history record valid on the master."""
        part = self._redis.of(channel)
        command = self._look(part, Look(channel, epoch=epoch))
        await self._redis.one("open", part.writes, command)

    async def history(
        self, channel: str, *, since: Position | None, limit: int, reverse: bool
    ) -> History:
        """A page of history. Raises `conflict` for a `since` of another epoch."""
        part = self._redis.of(channel)
        names = (part.keys.record, part.keys.head(channel), part.keys.log(channel))
        bounds = (max(1, limit), HISTORY_BYTES, int(reverse), *(since or ("", 0)))
        command = run(
            "history", names, int(self._redis.options.trusted_restart), *bounds, again=True
        )
        for _ in range(_TRIES):
            reply = await self._redis.one("history", part.reads, command)
            if reply:
                return _history(reply, channel)
            await self.open(channel, fresh())
        raise OpenlineError(Code.UNAVAILABLE, "the message store is changing its master")

    async def drop(self, channel: str) -> Position:
        """Drop the history: a new epoch, the offset goes on."""
        part, epoch = self._redis.of(channel), fresh()
        k = part.keys
        names = (k.record, k.head(channel), k.log(channel), k.bus)
        command = run(
            "drop", names, *self._redis.fence(), epoch, channel, HEAD_TTL, lanes=(channel,)
        )
        return Position(epoch, int(await self._redis.one("drop", part.writes, command)))


def _failed(outcome: Outcome) -> bool:
    return isinstance(outcome, OpenlineError) and outcome.code is not Code.CONFLICT


def _published(draft: Draft, epoch: Any, offset: Any, state: int, subscribers: int) -> Outcome:
    if isinstance(epoch, Exception):
        return translate(epoch)
    if state == _CONFLICT:
        return OpenlineError(
            Code.CONFLICT,
            f"{draft.channel} is not at the expected position {draft.expect}",
            position=(epoch.decode(), int(offset)),
        )
    return Published(epoch.decode(), int(offset), state == _DUPLICATE, subscribers)


def _looked(reply: Any) -> Looked | Stale:
    if isinstance(reply, OpenlineError):
        raise reply
    if not reply:
        return Stale()
    history, bus, epoch, offset, began, start, found = reply
    page = _contiguous(entries.publications(epoch.decode(), found))
    first = page[0].offset - 1 if page else int(start)
    return Looked(
        history=history.decode(),
        bus=entries.number(bus),
        epoch=epoch.decode(),
        offset=int(offset),
        began=int(began),
        start=first,
        publications=page,
    )


def _contiguous(page: tuple[Publication, ...]) -> tuple[Publication, ...]:
    """What follows the last hole of a page: only a log that was tampered with has one, and it must not go unseen."""
    for place in range(len(page) - 1, 0, -1):
        if page[place].offset != page[place - 1].offset + 1:
            return page[place:]
    return page


def _history(reply: Any, channel: str) -> History:
    epoch, offset, state, found, more = reply
    name, head = epoch.decode(), int(offset)
    if state == _CONFLICT:
        raise OpenlineError(
            Code.CONFLICT, f"since is of another epoch of {channel}", position=(name, head)
        )
    page = entries.publications(name, found)
    return History(epoch=name, offset=head, publications=page, more=bool(more))


_: type[Log] = RedisLog
