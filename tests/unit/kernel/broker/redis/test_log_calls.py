"""Bundles: what one script call may hold, and that each draft in it has a result of its own."""

from __future__ import annotations

import pytest

from services.kernel.broker.port import Draft, Published
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.broker.redis.log_calls import MOST, MOST_BYTES, batches, command
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.redis.keys import Keys
from tests.support.redis_server import start_redis

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
