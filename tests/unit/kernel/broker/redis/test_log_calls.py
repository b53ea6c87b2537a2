"""Bundles: what one script call may hold, and that each draft in it has a result of its own."""

from __future__ import annotations

import pytest

from services.kernel.broker.port import Draft, Published
from services.kernel.broker.redis import log_calls
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.broker.redis.log_calls import MOST, MOST_BYTES, SMALL, batches, command
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.redis.keys import Keys
from tests.contract.steps import publish_one
from tests.support.redis_server import start_redis
from tests.support.waiting import until

pytestmark = pytest.mark.server


def draft(channel="room:a", data=b"1", **options) -> Draft:
    return Draft(channel=channel, data=data, meta=b"", **options)


def sizes(drafts):
    found = list(batches(drafts))
    assert [one for bundle in found for one in bundle] == drafts
    return [len(bundle) for bundle in found]


LARGE = b"x" * MOST_BYTES


@pytest.mark.parametrize(
    ("drafts", "expected"),
    [
        ([], []),
        ([draft()] * MOST, [MOST]),
        ([draft()] * (2 * MOST + 1), [MOST, MOST, 1]),
        ([draft(), draft(data=LARGE), draft(), draft()], [2, 2]),
        ([draft(data=LARGE)] * 3, [1, 1, 1]),
        # Only drafts with a key may be sent twice.
        ([draft(), draft(key="k"), draft("room:b", key="l"), draft()], [1, 2, 1]),
        # The script knows one size, number of bytes and ttl a channel.
        ([draft(), draft("room:b", history_size=5), draft(history_size=5), draft()], [2, 1, 1]),
        ([draft(), draft(history_ttl=5)], [1, 1]),
        ([draft(), draft(history_bytes=5)], [1, 1]),
    ],
)
def test_a_call_ends_where_it_must(drafts, expected):
    assert sizes(drafts) == expected


def test_a_call_keeps_its_place_in_the_order_of_each_of_its_channels():
    drafts = [draft(), draft("room:b", key="k"), draft()]
    fence = ("history", 0, 100, 1000, 85)
    call = command(Keys(0), fence, epoch="Epoch", lease=6000, drafts=drafts)
    assert (set(call.lanes), call.size) == ({"room:a", "room:b"}, 3)


@pytest.fixture(params=["redis", "valkey"])
def server(request, tmp_path):
    with start_redis(tmp_path, flavour=request.param) as server:
        yield server


@pytest.fixture
async def broker(server):
    broker = RedisBroker(server.url)
    await broker.start()
    yield broker
    await broker.close()


async def test_offsets_go_on_over_calls_and_channels_have_their_own(broker):
    names = ["room:a", "room:b", "room:a"] * 60
    stored = await broker.publish([draft(name) for name in names])
    assert [one.offset for one in stored if isinstance(one, Published)] == [
        names[: place + 1].count(name) for place, name in enumerate(names)
    ]
    assert len({one.epoch for one in stored}) == 2
    (last,) = await broker.publish([draft()])
    assert last == Published(stored[0].epoch, 121)
    page = await broker.history("room:a", since=None, limit=1000, reverse=False)
    assert [one.offset for one in page.publications] == list(range(1, 122))
    entries = [await broker.read(0, 0, block=0), await broker.read(0, 181, block=0)]
    assert [len(some) for some in entries] == [181, 0]


async def test_what_comes_before_counts_for_what_comes_after_in_the_same_call(broker):
    """Repeated keys, expected positions and ephemeral ones among drafts that are stored together."""
    (first,) = await broker.publish([draft()])
    epoch = first.epoch
    stored = await broker.publish(
        [
            draft(expect=Position(epoch, 1)),
            draft(expect=Position(epoch, 1)),
            draft(ephemeral=True),
            draft(ephemeral=True, expect=Position(epoch, 2)),
            draft(ephemeral=True, expect=Position(epoch, 1)),
            draft(expect=Position("other", 2)),
            draft("room:new", ephemeral=True),
            draft(),
        ]
    )
    offsets = [one.position if isinstance(one, OpenlineError) else one.offset for one in stored]
    conflict = (epoch, 2)
    assert offsets == [2, conflict, 0, 0, conflict, conflict, 0, 3]
    assert stored[6] == Published("", 0)
    keyed = await broker.publish([draft(key="k"), draft("room:b", key="k"), draft(key="k")])
    assert [(one.offset, one.duplicate) for one in keyed] == [(4, False), (1, False), (4, True)]


async def test_a_draft_that_fails_harms_no_other(broker, server):
    await broker.publish([draft(), draft("room:b"), draft("room:c")])
    with server.client() as client:
        client.delete("ol:{p0}:log:room:b")
        client.set("ol:{p0}:log:room:b", "somebody else's")
        client.set("ol:{p0}:listeners:room:c", "somebody else's")
    names = ["room:a", "room:b", "room:c", "room:a"]
    stored = await broker.publish([draft(name) for name in names])
    assert [one.offset for one in stored if isinstance(one, Published)] == [2, 3]
    failed = [one for one in stored if isinstance(one, OpenlineError)]
    assert [one.code for one in failed] == [Code.INTERNAL] * 2
    assert broker.counters.failures["publish"] == 2
    assert broker.counters.calls["publish"] == 7
    (after,) = await broker.publish([draft()])
    assert after.offset == 4
    with server.client() as client:
        assert client.hget("ol:{p0}:head:room:b", "offset") == b"1"


async def test_out_of_memory_refuses_a_call_before_it_writes(broker, server):
    await broker.publish([draft()])
    with server.client() as client:
        client.config_set("maxmemory", 1)
    stored = await broker.publish([draft(), draft("room:b")])
    assert [one.code for one in stored if isinstance(one, OpenlineError)] == [Code.UNAVAILABLE] * 2
    with server.client() as client:
        client.config_set("maxmemory", 0)
        assert client.xlen("ol:{p0}:bus") == 1
    (after,) = await broker.publish([draft()])
    assert after.offset == 2


@pytest.mark.parametrize(
    "options",
    [
        {"key": "k"},
        {"expect": Position("e", 1)},
        {"ephemeral": True},
        {"history_size": 0},
        {"data": b"x" * SMALL},
    ],
    ids=str,
)
def test_a_draft_that_asks_for_more_than_to_be_kept_is_not_plain(options):
    assert log_calls.is_plain(draft())
    assert not log_calls.is_plain(draft(**options))


def stored(server):
    """All that publishing leaves: of hashes the fields, of streams the entries, and how long each lives."""
    with server.client() as client:
        return {
            key: (
                client.hgetall(key) if b"head" in key else client.xrange(key),
                client.pttl(key) // 100_000,
            )
            for key in client.keys("*")
            if b"head" in key or b":log:" in key or key.endswith(b":bus")
        }


async def test_one_by_one_leaves_what_one_call_leaves(broker, server, monkeypatch):
    """The script for one publication and the one for many: by number, by bytes, with new and with known heads."""
    drafts = [
        draft(f"room:{n % 3}", data=b"%d" % n * (n % 7 + 1), history_size=5, history_bytes=20)
        for n in range(1, 61)
    ]
    left, results = [], []
    for plain in (log_calls.is_plain, lambda _: False):
        monkeypatch.setattr("services.kernel.broker.redis.log.is_plain", plain)
        monkeypatch.setattr("services.kernel.broker.redis.log.is_counted", lambda _: False)
        monkeypatch.setattr("services.kernel.broker.redis.log.fresh", lambda: "Epoch")
        with server.client() as client:
            client.flushall()
            await broker.open("room:0", "Epoch")
            client.hset("ol:{p0}:listeners:room:0", mapping={"one": 2, "other": 3})
            client.config_resetstat()
        results.append([await publish_one(broker, one) for one in drafts])
        left.append(stored(server))
        with server.client() as client:
            calls = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert calls == len(drafts)
    for which in left:
        for key, (value, _) in which.items():
            if b"head" in key:
                value.pop(b"epoch"), value.pop(b"history")
            elif key.endswith(b":bus"):
                assert [fields.pop(b"h").split()[1::2] for _, fields in value]
    assert left[0] == left[1]
    assert [(one.offset, one.subscribers) for one in results[0]] == [
        (one.offset, one.subscribers) for one in results[1]
    ]
    assert results[0][2].subscribers == 5


async def test_a_publication_lengthens_the_life_of_its_log_and_head_as_it_would_in_a_batch(
    broker, server
):
    await publish_one(broker, draft())
    with server.client() as client:
        keys = ("ol:{p0}:log:room:a", "ol:{p0}:head:room:a")
        before = [client.pttl(key) for key in keys]
        for key in keys:
            client.pexpire(key, 1000)
        await publish_one(broker, draft())
        assert all(client.pttl(key) > then - 5000 for key, then in zip(keys, before, strict=True))


async def test_a_draft_that_is_refused_by_itself_counts_as_a_failure_and_a_conflict_as_none(
    broker, server
):
    """By either way: the script for batches puts an error in the place of its epoch."""
    here = Position((await publish_one(broker, draft())).epoch, 7)
    await publish_one(broker, draft("room:spoilt"))
    with server.client() as client:
        client.set("ol:{p0}:log:room:spoilt", "no stream")
    for keyed in ("k", None):
        outcomes = []
        broker.publish_one(draft("room:spoilt", key=keyed), outcomes.append)
        await until(lambda: outcomes)  # noqa: B023 - waited for here
        assert isinstance(outcomes[0], OpenlineError)
    assert broker.counters.failures["publish"] == 2
    outcomes = []
    broker.publish_one(draft(expect=here), outcomes.append)
    await until(lambda: outcomes)
    assert outcomes[0].code is Code.CONFLICT
    assert broker.counters.failures["publish"] == 2


async def test_a_reply_that_cannot_be_read_leaves_nobody_waiting(broker, monkeypatch):
    def fail(*_):
        raise ValueError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr("services.kernel.broker.redis.log._published", fail)
        outcomes = []
        broker.publish_one(draft(), outcomes.append)
        await until(lambda: outcomes)
    assert outcomes[0].code is Code.INTERNAL
    assert (await publish_one(broker, draft())).offset == 2


@pytest.mark.parametrize("field", ["full", "quiet", "seal_until", "replid"])
async def test_one_publication_is_left_to_the_other_script_unless_the_record_is_settled(
    broker, server, monkeypatch, field
):
    monkeypatch.setattr("services.kernel.broker.redis.log.is_counted", lambda _: False)
    await publish_one(broker, draft())
    with server.client() as client:
        client.hset("ol:{p0}:history", field, "-1")
        client.config_resetstat()
        stored = await publish_one(broker, draft())
        assert (stored.offset, client.info("commandstats")["cmdstat_evalsha"]["calls"]) == (2, 2)
