"""Revocations: what they cover, how they are spelled, and the record on a real Redis."""

from __future__ import annotations

import pytest

from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.redis.client import Client
from services.kernel.redis.connections import Dial
from services.kernel.redis.keys import Keys
from services.kernel.tokens.revocations import Kind, Revocation, Revoked
from services.kernel.tokens.revocations_redis import RedisRevocations
from tests.support.redis_server import start_redis

KEY = Keys(0).revoked

TOKEN = Revocation(kind=Kind.TOKEN, value="a:b", exp=200)
SUBJECT = Revocation(kind=Kind.SUBJECT, value="client:x", exp=200, cutoff=100.5)
CLIENT = Revocation(kind=Kind.CLIENT, value="app", exp=200, cutoff=100)


@pytest.mark.parametrize("one", [TOKEN, SUBJECT, CLIENT])
def test_a_revocation_survives_its_spellings(one):
    assert Revocation.parse(one.member, one.exp) == one
    assert Revocation.from_dict(one.as_dict()) == one


@pytest.mark.parametrize("member", ["", "x", "sub:bob", "sub:bob:x", "else:bob:5"])
def test_a_strange_spelling_is_refused(member):
    with pytest.raises(ValueError, match=r".+"):
        Revocation.parse(member, 1)


@pytest.mark.parametrize(
    ("claims", "covered"),
    [
        (Claims(sub="bob", jti="a:b", iat=150), True),
        (Claims(sub="bob", jti="other", iat=1), False),
        (Claims(sub="client:x", iat=100), True),
        (Claims(sub="client:x", iat=101), False),
        (Claims(sub="client:x"), True),
        (Claims(sub="bob", client="app", iat=100), True),
        (Claims(sub="bob", client="app", iat=101), False),
        (Claims(sub="bob", client="other", iat=1), False),
        (Claims(sub="bob"), False),
    ],
)
def test_what_is_covered(claims, covered):
    assert Revoked([TOKEN, SUBJECT, CLIENT]).covers(claims) is covered


def test_the_latest_cutoff_holds_in_any_order():
    late = Revocation(kind=Kind.SUBJECT, value="bob", exp=300, cutoff=200)
    early = Revocation(kind=Kind.SUBJECT, value="bob", exp=200, cutoff=100)
    for order in ([late, early], [early, late]):
        assert Revoked(order).covers(Claims(sub="bob", iat=150))


def test_what_has_ended_can_be_dropped():
    revoked = Revoked([TOKEN])
    assert len(revoked.without(199)) == 1
    assert len(revoked.without(200)) == 0


def test_what_is_known_and_what_is_read_add_up():
    known, longer = Revoked([TOKEN, SUBJECT]), Revocation(kind=Kind.TOKEN, value="a:b", exp=300)
    assert known.absorb(Revoked([longer, CLIENT]), 150) == [SUBJECT]
    assert {one.member: one.exp for one in known} == {
        TOKEN.member: 300,
        SUBJECT.member: 200,
        CLIENT.member: 200,
    }
    assert known.absorb(Revoked([TOKEN]), 250) == [longer], "what has ended is not given back"


def test_a_cutoff_that_the_record_rounded_is_the_same():
    announced = Revocation(kind=Kind.SUBJECT, value="bob", exp=200, cutoff=100.12345)
    read = Revocation.parse(announced.member, 200)
    assert Revoked([announced]).absorb(Revoked([read]), 150) == []


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with start_redis(tmp_path_factory.mktemp("redis"), flavour="valkey") as running:
        yield running


@pytest.fixture
async def client(server):
    with server.client() as redis:
        redis.flushall()
    one = Client(Dial(server.url))
    yield one
    await one.close()


@pytest.mark.server
async def test_the_record_holds_what_is_in_force(client):
    record = RedisRevocations(client, clock=lambda: 100)
    for one in (TOKEN, SUBJECT, CLIENT):
        await record.add(one)
    revoked = await record.load(150)
    assert len(revoked) == 3
    assert revoked.covers(Claims(sub="x", jti="a:b"))
    assert len(await record.load(200)) == 0


@pytest.mark.server
async def test_a_lost_record_is_written_back_whole(client):
    many = [Revocation(kind=Kind.TOKEN, value=str(number), exp=200) for number in range(1234)]
    record = RedisRevocations(client, clock=lambda: 100)
    await record.add(*many)
    assert len(await record.load(150)) == 1234


@pytest.mark.server
async def test_adding_forgets_what_has_ended_and_never_shortens(client, server):
    await RedisRevocations(client, clock=lambda: 100).add(TOKEN)
    shorter = Revocation(kind=Kind.TOKEN, value="a:b", exp=150)
    await RedisRevocations(client, clock=lambda: 100).add(shorter)
    with server.client() as redis:
        assert redis.zscore(KEY, TOKEN.member) == 200
    await RedisRevocations(client, clock=lambda: 300).add(
        Revocation(kind=Kind.TOKEN, value="new", exp=400)
    )
    with server.client() as redis:
        assert redis.zcard(KEY) == 1


@pytest.mark.server
async def test_a_member_of_a_newer_version_does_not_void_the_others(client, server):
    with server.client() as redis:
        redis.zadd(KEY, {"device:x": 500})
    await RedisRevocations(client, clock=lambda: 100).add(TOKEN)
    assert len(await RedisRevocations(client).load(150)) == 1


async def test_without_redis_the_record_is_unavailable(tmp_path):
    client = Client(Dial("redis://127.0.0.1:1/0"))
    for call in (RedisRevocations(client).add(TOKEN), RedisRevocations(client).load(0)):
        with pytest.raises(OpenlineError) as caught:
            await call
        assert caught.value.code is Code.UNAVAILABLE
    await client.close()
