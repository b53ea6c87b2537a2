"""What a service knows of the fleet's revocations: it only grows until each ends, and is kept up without reading all."""

from __future__ import annotations

import asyncio

from services.kernel.domain.codes import Code
from services.kernel.tokens import known_revocations
from services.kernel.tokens.known_revocations import KnownRevocations
from services.kernel.tokens.revocations import Kind, Revocation
from tests.support.refusals import refused
from tests.support.revocation_record import Record, whole
from tests.support.waiting import until

BOB, AMY, EVE = (
    Revocation(kind=Kind.TOKEN, value=name, exp=exp)
    for name, exp in (("bob", 200), ("amy", 200), ("eve", 101))
)


def names(revoked):
    return sorted(one.value for one in revoked)


async def test_it_reads_the_record_once_and_follows_what_is_announced():
    record = Record([BOB])
    known = KnownRevocations(record)
    assert not known.loaded
    await known.catch_up(100)
    assert known.loaded
    await record.add(AMY)
    for _ in range(5):
        await known.catch_up(100)
    assert names(known.revoked) == ["amy", "bob"]
    assert record.reads == 1


async def test_what_nobody_announced_is_found_by_the_count_or_in_time(monkeypatch):
    record = Record([BOB])
    known = KnownRevocations(record)
    await known.catch_up(100)
    record.known.append(AMY)
    await known.catch_up(100)
    assert names(known.revoked) == ["amy", "bob"]
    record.known[0] = EVE  # one more and one less: the count is the same
    await known.catch_up(100)
    assert names(known.revoked) == ["amy", "bob"]
    await known.catch_up(100 + known_revocations.WHOLE_SECONDS + 1)
    assert record.reads == 3


async def test_what_the_record_lost_is_kept_and_written_back_until_it_has_ended():
    record = Record([BOB, AMY, EVE])
    known = KnownRevocations(record)
    await known.catch_up(100)
    record.known.clear()
    await known.catch_up(150)
    assert names(known.revoked) == names(await whole(record)) == ["amy", "bob"]


async def test_a_cutoff_that_the_record_rounded_is_not_written_back():
    record = Record()
    known = KnownRevocations(record)
    announced = Revocation(kind=Kind.SUBJECT, value="bob", exp=200, cutoff=100.12345)
    known.revoked.add(announced)
    record.known.append(Revocation.parse(announced.member, 200))
    await known.catch_up(100)
    assert record.announced == []


async def test_what_could_not_be_written_back_is_tried_again():
    record = Record()
    known = KnownRevocations(record)
    known.revoked.add(BOB)
    add, record.add = record.add, None

    async def fails(*_):
        record.away = 1
        record._check()

    record.add = fails
    with refused(Code.UNAVAILABLE):
        await known.catch_up(100)
    assert known.loaded, "what was read counts"
    record.add = add
    await known.catch_up(100)
    assert record.known == [BOB]


async def test_what_is_added_while_the_record_is_read_is_not_missed():
    record = Record([BOB])
    record.reading.clear()
    known = KnownRevocations(record)
    reading = [asyncio.create_task(known.catch_up(100)) for _ in range(2)]
    await until(lambda: record.reads == 1)
    await record.add(AMY)
    record.reading.set()
    await asyncio.gather(*reading)
    assert names(known.revoked) == ["amy", "bob"]
    assert record.reads == 1, "the second call waits for the same reading"


async def test_an_outage_keeps_what_is_known():
    record = Record([BOB])
    known = KnownRevocations(record)
    await known.catch_up(100)
    record.down = True
    with refused(Code.UNAVAILABLE):
        await known.catch_up(100)
    assert names(known.revoked) == ["bob"]
    record.down = False
    await known.catch_up(100)
    assert record.reads == 1


async def test_others_run_while_many_are_looked_through(monkeypatch):
    monkeypatch.setattr(known_revocations, "SLICE", 10)
    record = Record(Revocation(kind=Kind.TOKEN, value=str(n), exp=200) for n in range(100))
    known = KnownRevocations(record)
    turns = 0
    reading = asyncio.create_task(known.catch_up(100))
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 10
