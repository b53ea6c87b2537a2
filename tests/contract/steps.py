"""Steps that contract tests take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from services.kernel.broker.port import (
    Batch,
    Beat,
    Beaten,
    Broker,
    Draft,
    Look,
    Looked,
    Member,
    Outcome,
    Published,
)
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication

LEASE = 30.0
"""Seconds: longer than a test runs, however busy the machine."""


def draft(channel: str, text: str = "x", **options: Any) -> Draft:
    """A draft whose data is this text."""
    return Draft(channel=channel, data=text.encode(), meta=b'"ts":1', **options)


async def publish_one(broker: Broker, message: Draft) -> Published:
    """Publish what must be stored."""
    stored: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    broker.publish_one(message, stored.set_result)
    result = await stored
    assert isinstance(result, Published), result
    return result


async def publish(broker: Broker, channel: str, *messages: str) -> list[Published]:
    """Publish texts that must be stored."""
    results = await broker.publish([draft(channel, message) for message in messages])
    assert all(isinstance(result, Published) for result in results), results
    return [result for result in results if isinstance(result, Published)]


async def look(
    broker: Broker,
    channel: str,
    *,
    since: tuple[Position, ...] = (),
    last: int = 0,
    resume: bool = False,
) -> Looked:
    """Look at what must not be stale."""
    wanted = Look(channel, since, last, resume)
    (looked,) = await broker.look(broker.partition(channel), [wanted])
    assert isinstance(looked, Looked), looked
    return looked


async def head(broker: Broker, channel: str) -> Looked:
    """Look at the head only."""
    return await look(broker, channel)


def texts(publications: Sequence[Publication]) -> list[str]:
    """What publications say."""
    return [publication.data.decode() for publication in publications]


def expect_error(result: object, code: Code) -> OpenlineError:
    """A result that must be this refusal."""
    assert isinstance(result, OpenlineError), result
    assert result.code is code
    return result


async def beat(
    broker: Broker, incarnation: str, partition: int = 0, *, canary: bool = False
) -> Beaten:
    """One beat of a node."""
    told = b'{"node":"' + incarnation.encode() + b'"}'
    return await broker.beat(partition, Beat(incarnation=incarnation, node=told, canary=canary))


def member(connection: str, user: str | None = "bob") -> Member:
    """A member with something to tell."""
    return Member(user=user, connection=connection, info=b'{"a":"\xc3\xa9"}', since=1234)


async def follow(broker: Broker, position: int, *, quiet: int, block: float = 10.0) -> int:
    """Read so many entries as they come, each with a pause before it; the id of the last."""
    for _ in range(quiet):
        reading = asyncio.create_task(next_read(broker, position, block=block))
        await asyncio.sleep(0.006)
        await publish(broker, "room:a", "x")
        found = await reading
        assert [entry.id for entry in found] == [position + 1]
        position += 1
    return position


async def next_read(broker: Broker, position: int, *, block: float) -> Batch:
    """What comes next; on a busy machine it may come when a read's time is over."""
    while not (found := await broker.read(0, position, block=block)):
        pass
    return found


async def read_up_to(broker: Broker, position: int, end: int) -> int:
    """Read until the entry `end` has come: each follows the one before it."""
    while position < end:
        found = await asyncio.wait_for(broker.read(0, position), 30)
        assert [entry.id for entry in found] == list(range(position + 1, found[-1].id + 1))
        position = found[-1].id
    assert position == end
    return position
