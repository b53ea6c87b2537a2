"""Batches: drafts of one partition that a single script call stores, since the call costs more than storing one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from services.kernel.broker.port import Draft
from services.kernel.broker.redis.partitions import run
from services.kernel.broker.ttls import KEY_TTL, head_ttl, log_ttl
from services.kernel.domain.publications import Kind
from services.kernel.redis.keys import Keys
from services.kernel.redis.link import Command

MOST = 64
"""Drafts in one call: nothing else runs in Redis meanwhile, and they take half a millisecond."""

MOST_BYTES = 65_536
"""Bytes of data after which no further draft joins a call."""

SMALL = 4096
"""Bytes of data and metadata from which on each is counted; below, one call in sixteen is (`SMALL` in publish.lua)."""

_KINDS = {kind: f"{kind.value} " for kind in Kind}


def batches(drafts: Sequence[Draft]) -> Iterator[Sequence[Draft]]:
    """The same drafts in their order, cut where one call must end.

    A call holds either drafts with a key or drafts without, since only the former may be sent twice, and a channel with
    one history size, bytes and ttl.
    """
    begin, size = 0, 0
    options: dict[str, tuple[int, int, int]] = {}
    for place, draft in enumerate(drafts):
        mine = (draft.history_size, draft.history_bytes, draft.history_ttl)
        if place > begin and (
            place - begin >= MOST
            or size >= MOST_BYTES
            or (draft.key is None) != (drafts[begin].key is None)
            or options.get(draft.channel, mine) != mine
        ):
            yield drafts[begin:place]
            begin, size, options = place, 0, {}
        options[draft.channel] = mine
        size += len(draft.data)
    if begin < len(drafts):
        yield drafts[begin:]


def command(
    keys: Keys, fence: Sequence[Any], *, epoch: str, lease: int, drafts: Sequence[Draft]
) -> Command:
    """The script call that stores a batch. `epoch` is fresh; channels whose history begins are named after it.

    `lease` in milliseconds.
    """
    numbers: dict[str, int] = {}
    names: list[str] = [keys.record, keys.bus, keys.leases]
    seen: list[str] = []
    channels: list[Any] = []
    messages: list[Any] = []
    for draft in drafts:
        channel = draft.channel
        number = numbers.get(channel)
        if number is None:
            number = numbers[channel] = len(numbers) + 1
            names += (keys.head(channel), keys.log(channel), keys.listeners(channel))
            ttl = draft.history_ttl
            bounds = (draft.history_size, draft.history_bytes)
            channels += (channel, *bounds, log_ttl(ttl), head_ttl(ttl))
        if draft.key is not None:
            seen.append(keys.seen(channel, draft.key))
        messages += (
            number,
            0 if draft.key is None else len(seen),
            _KINDS[draft.kind] + draft.token,
            draft.data,
            draft.meta,
            1 if draft.ephemeral else 0,
            "" if draft.expect is None else f"{draft.expect[0]} {draft.expect[1]}",
        )
    names += seen
    args = (*fence, epoch, KEY_TTL, len(numbers), lease, *channels, *messages)
    lanes = tuple(numbers)
    return run("publish", names, *args, again=bool(seen), lanes=lanes, size=len(drafts))


def is_plain(draft: Draft) -> bool:
    """Whether `single` can store it: kept, not to be recognized again, and expecting nothing; and not so large that it counts."""
    return (
        draft.key is None
        and draft.expect is None
        and not draft.ephemeral
        and draft.history_size > 0
        and len(draft.data) + len(draft.meta) < SMALL
    )


def single(keys: Keys, draft: Draft, *, bus_length: int, epoch: str) -> Command:
    """The script call that stores a plain draft. No reply: it is for `command` to store."""
    channel = draft.channel
    names = (keys.record, keys.bus, keys.head(channel), keys.log(channel), keys.listeners(channel))
    bounds = _bounds(draft.history_size, draft.history_bytes, draft.history_ttl)
    about = _KINDS[draft.kind] + draft.token
    args = (bus_length, epoch, channel, *bounds, about, draft.data, draft.meta)
    return run("publish_one", names, *args, lanes=(channel,))


@lru_cache(256)
def _bounds(size: int, most: int, ttl: int) -> tuple[bytes, ...]:
    """Those of a namespace, as they are sent."""
    return tuple(b"%d" % bound for bound in (size, most, log_ttl(ttl), head_ttl(ttl)))


def is_counted(candidate: str) -> bool:
    """Whether a call with this candidate id counts what it puts on the bus: one in sixteen does, as in publish.lua."""
    return candidate[0] == "0"
