"""Revocations: what they cover, how they are spelled, and the record on a real Redis."""

from __future__ import annotations

import pytest

from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.redis.client import Client
from services.kernel.redis.connections import Dial
from services.kernel.redis.keys import Keys
from services.kernel.tokens import revocations_redis
from services.kernel.tokens.revocations import Kind, Mark, Revocation, Revoked
from services.kernel.tokens.revocations_redis import RedisRevocations
from tests.support.redis_server import start_redis
from tests.support.revocation_record import whole

KEY = Keys(0).revoked

TOKEN = Revocation(kind=Kind.TOKEN, value="a:b", exp=200)
SUBJECT = Revocation(kind=Kind.SUBJECT, value="client:x", exp=200, cutoff=100.5)
FAMILY = Revocation(kind=Kind.FAMILY, value="login", exp=200)
CLIENT = Revocation(kind=Kind.CLIENT, value="app", exp=200, cutoff=100)


@pytest.mark.parametrize("one", [TOKEN, FAMILY, SUBJECT, CLIENT])
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
        (Claims(sub="bob", jti="login.1", iat=150), True),
        (Claims(sub="bob", jti="login.2", iat=950), True),
        (Claims(sub="bob", jti="other.login", iat=150), False),
    ],
)
def test_what_is_covered(claims, covered):
    assert Revoked([TOKEN, FAMILY, SUBJECT, CLIENT]).covers(claims) is covered


def test_the_latest_cutoff_holds_in_any_order():
    late = Revocation(kind=Kind.SUBJECT, value="bob", exp=300, cutoff=200)
    early = Revocation(kind=Kind.SUBJECT, value="bob", exp=200, cutoff=100)
    for order in ([late, early], [early, late]):
        assert Revoked(order).covers(Claims(sub="bob", iat=150))


def test_what_has_ended_can_be_dropped():
    revoked = Revoked([TOKEN, Revocation(kind=Kind.TOKEN, value="later", exp=300)])
    revoked.drop_ended(199)
    assert len(revoked) == 2
    revoked.drop_ended(200)
    assert [one.value for one in revoked] == ["later"]
    assert not revoked.covers(Claims(sub="bob", jti="a:b"))


def test_a_family_that_has_ended_can_be_dropped():
    revoked = Revoked([FAMILY])
    revoked.drop_ended(200)
    assert not revoked.covers(Claims(sub="bob", jti="login.1"))


@pytest.mark.parametrize("kind", [Kind.SUBJECT, Kind.CLIENT])
def test_of_two_revocations_of_one_the_other_holds_when_one_has_ended(kind):
    late = Revocation(kind=kind, value="x", exp=200, cutoff=150)
    early = Revocation(kind=kind, value="x", exp=300, cutoff=100)
    revoked = Revoked([early, late])
    revoked.drop_ended(250)
    assert revoked.covers(Claims(sub="x", client="x", iat=100))
    assert not revoked.covers(Claims(sub="x", client="x", iat=101))


def test_what_is_known_and_what_is_read_add_up():
    known = Revoked([TOKEN, SUBJECT])
    for member, exp in ((TOKEN.member, 300), (SUBJECT.member, 150), (CLIENT.member, 200)):
        known.learn(member, exp)
    assert {one.member: one.exp for one in known} == {
        TOKEN.member: 300,
        SUBJECT.member: 200,
        CLIENT.member: 200,
    }
    known.learn("device:x", 900)
    assert len(known) == 3, "what a newer version wrote is passed over"


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
async def test_a_large_record_is_written_and_read_in_pieces(client, monkeypatch):
    monkeypatch.setattr(revocations_redis, "PAGE", 100)
    many = [Revocation(kind=Kind.TOKEN, value=str(number), exp=200) for number in range(1234)]
    record = RedisRevocations(client, clock=lambda: 100)
    await record.add(*many)
    pages = [page async for page in record.pages(150)]
    assert [len(page) for page in pages] == [100] * 12 + [34]
    assert len(await whole(record, 150)) == 1234


@pytest.mark.server
async def test_a_member_of_a_newer_version_does_not_void_the_others(client, server):
    with server.client() as redis:
        redis.zadd(KEY, {"device:x": 500})
    await RedisRevocations(client, clock=lambda: 100).add(TOKEN)
    assert len(await whole(RedisRevocations(client), 150)) == 1


@pytest.mark.server
@pytest.mark.parametrize("loss", ["flush", "record", "replica", "silent", "long away"])
async def test_a_reader_who_cannot_be_told_all_must_read_the_record_whole(client, server, loss):
    record = RedisRevocations(client, clock=lambda: 100)
    await record.add(TOKEN, SUBJECT)
    mark = await record.mark()
    with server.client() as redis:
        if loss == "flush":
            redis.flushall()
        elif loss == "record":
            redis.delete(KEY)
        elif loss == "replica":  # one that lagged is the master now
            redis.xdel(Keys(0).revoking, mark.announced)
            await record.add(CLIENT)
        elif loss == "silent":  # a service of an older version
            redis.zadd(KEY, {"jti:other": 200})
        else:
            many = (Revocation(kind=Kind.TOKEN, value=str(n), exp=200) for n in range(1500))
            await record.add(*many)
    assert await record.since(mark) is None


@pytest.mark.server
async def test_announcements_are_few_however_much_is_revoked(client, server):
    record = RedisRevocations(client, clock=lambda: 100)
    await record.add(*(Revocation(kind=Kind.TOKEN, value=str(n), exp=200) for n in range(5000)))
    with server.client() as redis:
        assert redis.xlen(Keys(0).revoking) < 1200
    assert await record.since(Mark("", 0)) is None


async def test_without_redis_the_record_is_unavailable(tmp_path):
    client = Client(Dial("redis://127.0.0.1:1/0"))
    record = RedisRevocations(client)
    for call in (record.add(TOKEN), whole(record), record.mark(), record.since(Mark("", 0))):
        with pytest.raises(OpenlineError) as caught:
            await call
        assert caught.value.code is Code.UNAVAILABLE
    await client.close()
