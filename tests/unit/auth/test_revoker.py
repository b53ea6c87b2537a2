"""Revoking: recorded, announced, known at once; and what holds while Redis is away."""

from __future__ import annotations

import pytest

from services.auth.revoker import Revoker
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import OpenlineError
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
