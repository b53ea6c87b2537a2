"""Readiness and revocations follow what the broker and Redis answer."""

from __future__ import annotations

import asyncio

import pytest

from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.port import Health
from services.kernel.domain.claims import Claims
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.tokens.revocations import Kind, Revocation
from services.publisher import probes
from services.publisher.probes import Probes
from tests.support.revocation_record import Record, whole
from tests.support.waiting import until


class Keys:
    """Says whether the key sets are loaded."""

    loaded = True


@pytest.fixture
def broker():
    return MemoryBroker()


@pytest.fixture
def record():
    return Record()


@pytest.fixture
def watching(broker, record):
    return Probes(broker, record, keys=Keys(), clock=lambda: 100.0)


def test_it_is_not_ready_before_it_has_asked(watching):
    assert watching.ready() == (False, {"redis": "not asked yet", "memory": "ok", "keys": "ok"})


async def test_it_stays_ready_while_memory_is_short_and_says_so(watching, broker):
    """Whoever deletes histories or revokes comes this way."""
    broker.short = True
    await watching.ask()
    ok, detail = watching.ready()
    assert ok
    assert "maxmemory" in detail["memory"]
    broker.short = False
    await watching.ask()
    assert watching.ready().detail["memory"] == "ok"


async def test_it_is_ready_while_the_broker_answers(watching, broker):
    await watching.ask()
    assert watching.ready().ok
    broker.down = True
    await watching.ask()
    ok, detail = watching.ready()
    assert not ok
    assert "down" in detail["redis"]
    broker.down = False
    await watching.ask()
    assert watching.ready().ok


async def test_while_one_of_several_servers_is_away_it_is_ready_and_names_its_partitions(
    watching, broker, record, monkeypatch
):
    """Publishes to the channels of the others are stored."""

    async def health():
        return Health(away=(0, 1))

    await watching.ask()
    monkeypatch.setattr(broker, "health", health)
    record.down = True  # it lives with partition 0
    await watching.ask()
    ok, detail = watching.ready()
    assert ok
    assert detail["redis"].startswith("partitions 0-1 away")


async def test_a_broker_that_hangs_is_not_waited_for(watching, broker, monkeypatch):
    monkeypatch.setattr(probes, "PATIENCE", 0.01)
    monkeypatch.setattr(broker, "health", lambda: asyncio.Event().wait())
    await watching.ask()
    ok, detail = watching.ready()
    assert (ok, detail["redis"]) == (False, "no answer within 0.01 s")


async def test_without_keys_no_token_can_be_verified(watching):
    watching._keys = Keys()
    watching._keys.loaded = False
    await watching.ask()
    assert watching.ready() == (False, {"redis": "ok", "memory": "ok", "keys": "not fetched yet"})


async def test_an_outage_keeps_the_revocations_that_are_known(watching, record):
    await record.add(Revocation(kind=Kind.SUBJECT, value="bob", exp=200, cutoff=50))
    await watching.ask()
    claims = Claims(sub="bob", iat=40)
    assert watching.revoked().covers(claims)
    record.down = True
    await watching.ask()
    assert watching.revoked().covers(claims)
    assert not watching.ready().ok


async def test_a_record_that_lost_what_is_known_gets_it_back(watching, record):
    await record.add(Revocation(kind=Kind.SUBJECT, value="bob", exp=200, cutoff=50))
    await record.add(Revocation(kind=Kind.SUBJECT, value="old", exp=101, cutoff=50))
    await watching.ask()
    record.known = [Revocation(kind=Kind.TOKEN, value="new", exp=200)]
    watching._clock = lambda: 102.0
    await watching.ask()
    for revoked in (watching.revoked(), await whole(record)):
        assert revoked.covers(Claims(sub="bob", iat=40))
        assert revoked.covers(Claims(sub="amy", jti="new"))
        assert not revoked.covers(Claims(sub="old", iat=40)), "it has ended"


async def test_the_record_is_read_whole_once_and_then_followed(watching, record):
    await record.add(*(Revocation(kind=Kind.TOKEN, value=f"t{n}", exp=200) for n in range(100)))
    await watching.ask()
    await record.add(Revocation(kind=Kind.TOKEN, value="new", exp=200))
    for _ in range(10):
        await watching.ask()
    assert watching.revoked().covers(Claims(sub="amy", jti="new"))
    assert record.reads == 1


async def test_a_server_that_can_never_serve_is_not_hidden(watching, broker, monkeypatch):
    async def start():
        raise ConfigurationError("set maxmemory-policy noeviction")

    monkeypatch.setattr(broker, "start", start)
    with pytest.raises(ConfigurationError):
        await watching.ask()


async def test_it_asks_again_and_again(watching, broker, monkeypatch):
    monkeypatch.setattr(probes, "EVERY", 0.001)
    asking = asyncio.create_task(watching.run())
    await until(lambda: broker.counters.calls.get("health", 0) > 2)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
