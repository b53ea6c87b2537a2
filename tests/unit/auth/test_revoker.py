"""Revoking: recorded, announced, known at once; and what holds while Redis is away."""

from __future__ import annotations

import asyncio

import pytest

from services.auth import revoker as revoker_module
from services.auth.revoker import Revoker
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.revocations import Kind, Revocation
from tests.support.revocation_record import Record


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def record():
    return Record()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def announced():
    return []


@pytest.fixture
def revoker(record, clock, announced):
    async def announce(message):
        announced.append(message)

    async def sleep(seconds):
        clock.now += seconds

    return Revoker(record, announce=announce, clock=clock, sleep=sleep)


async def test_a_revoked_token_is_recorded_announced_and_known_at_once(revoker, record, announced):
    claims = Claims(sub="bob", jti="j", iat=900)
    assert not await revoker.covers(claims)
    await revoker.revoke_token("j", 2000)
    assert await revoker.covers(claims)
    assert [one.member for one in record.known] == ["jti:j"]
    assert announced == [{"kind": "jti", "value": "j", "exp": 2000, "cutoff": 0.0}]


async def test_revoking_a_user_covers_what_was_issued_so_far(revoker, clock):
    clock.now = 1000.25
    await revoker.revoke_all(Kind.SUBJECT, "bob", longest=60)
    assert await revoker.covers(Claims(sub="bob", iat=1000))
    assert clock.now == 1001, "what is issued when it returns is good"
    assert not await revoker.covers(Claims(sub="bob", iat=1001))


async def test_what_another_instance_revoked_is_known_within_a_second(revoker, record, clock):
    claims = Claims(sub="bob", jti="j")
    assert not await revoker.covers(claims)
    record.known.append(Revocation(kind=Kind.TOKEN, value="j", exp=2000))
    clock.now += 1.1
    assert await revoker.covers(claims)
    await revoker.covers(claims)
    assert record.reads == 2


async def test_while_the_record_is_away_the_last_known_counts(revoker, record, clock, announced):
    record.down = True
    with pytest.raises(OpenlineError):
        await revoker.covers(Claims(sub="bob"))
    record.down = False
    await revoker.revoke_token("j", 2000)
    assert await revoker.covers(Claims(sub="bob", jti="j"))
    record.down = True
    clock.now += 10
    assert await revoker.covers(Claims(sub="bob", jti="j"))
    with pytest.raises(OpenlineError):
        await revoker.revoke_token("k", 2000)
    assert len(announced) == 1, "what is not recorded is not announced"


async def test_a_record_that_lost_what_is_known_gets_it_back(revoker, record, clock):
    await revoker.revoke_token("j", 2000)
    record.known.clear()
    for _ in range(2):
        clock.now += 1.1
        assert await revoker.covers(Claims(sub="bob", jti="j"))
        assert [one.member for one in record.known] == ["jti:j"]
    clock.now = 2001
    record.known.clear()
    assert not await revoker.covers(Claims(sub="bob", jti="j"))
    assert record.known == []


async def test_a_fresh_look_sees_what_was_revoked_a_moment_ago(revoker, record):
    claims = Claims(sub="bob", jti="j")
    assert not await revoker.covers(claims)
    record.known.append(Revocation(kind=Kind.TOKEN, value="j", exp=2000))
    assert not await revoker.covers(claims)
    assert await revoker.covers(claims, fresh=True)


async def test_while_redis_hangs_callers_do_not_wait_one_behind_the_other(
    revoker, record, monkeypatch
):
    monkeypatch.setattr(revoker_module, "PATIENCE", 0.5)
    record.reading.clear()
    async with asyncio.timeout(60):  # one behind the other they would take a hundred seconds
        answers = await asyncio.gather(
            *(revoker.covers(Claims(sub="bob")) for _ in range(200)), return_exceptions=True
        )
    assert {getattr(one, "code", None) for one in answers} == {Code.UNAVAILABLE}
    monkeypatch.undo()
    record.reading.set()
    assert not await revoker.covers(Claims(sub="bob"))


async def test_users_that_others_revoked_are_named_once_or_until_they_are_done(revoker, record):
    for cutoff in (500.0, 700.0, 600.0):
        await record.add(Revocation(kind=Kind.SUBJECT, value="bob", exp=2000, cutoff=cutoff))
    await revoker.catch_up()
    assert revoker.take_users() == {"bob": 700}
    revoker.put_back({"bob": 700, "amy": 1})
    await revoker.catch_up()
    assert revoker.take_users() == {"bob": 700, "amy": 1}
    assert revoker.take_users() == {}
