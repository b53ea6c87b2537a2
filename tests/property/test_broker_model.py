"""Any sequence of calls gets the same answers from the broker in memory and from the one over Redis Streams."""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.port import (
    Beat,
    Broker,
    Draft,
    Entry,
    EntryType,
    Look,
    Looked,
    Member,
    Published,
    Stale,
)
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Kind, Publication
from tests.support.redis_server import GivenServer, RedisServer, given_or_started

pytestmark = pytest.mark.server

CHANNELS = st.sampled_from(["room:a", "room:b", "user:c"])
USERS = st.sampled_from(["ann", "bob", None])
CONNECTIONS = st.sampled_from(["c1", "c2", "c3", "c4"])
NEWCOMERS = st.builds(
    Member,
    user=USERS,
    connection=CONNECTIONS,
    info=st.just(b"{}"),
    since=st.just(7),
    client=st.sampled_from(["", "one", "other"]),
)
NODES = st.sampled_from(["n1", "n2"])
KEYS = st.sampled_from([None, None, None, "k1", "k2"])
SIZES = st.sampled_from([0, 1, 3, 3, 1000])
OFFSETS = st.integers(0, 12)


class Names:
    """Random names of one store told in those of the other: each must always mean the same one."""

    def __init__(self) -> None:
        self._there: dict[str, str] = {"": ""}
        self._back: dict[str, str] = {"": ""}

    def same(self, real: str, model: str) -> None:
        """Two names that came in the same place."""
        assert self._there.setdefault(real, model) == model, (real, model)
        assert self._back.setdefault(model, real) == real, (real, model)


class BrokerModel(RuleBasedStateMachine):
    """Each rule makes one call on both and compares the answers."""

    server: ClassVar[GivenServer | RedisServer]
    loop: ClassVar[asyncio.AbstractEventLoop]

    @initialize()
    def connect(self) -> None:
        with self.server.client() as client:
            client.flushall()
        self.epochs, self.histories = Names(), Names()
        self.positions: list[tuple[Position, Position]] = []
        self.read = 0
        self.real: Broker = RedisBroker(f"{self.server.url}?socket_timeout=60", lease=1000)
        self.model = MemoryBroker(lease=1000)
        for node in ("n1", "n2"):
            self.beat(node)

    def teardown(self) -> None:
        if hasattr(self, "real"):
            self.run(self.real.close())

    def run(self, call: Any) -> Any:
        async def outcome() -> Any:
            try:
                return await call
            except OpenlineError as error:
                return error

        return self.loop.run_until_complete(outcome())

    def both(self, operation: str, *args: Any, **options: Any) -> tuple[Any, Any]:
        """What each answers; refusals are answers, and must be the same ones."""
        answers = [
            self.run(getattr(broker, operation)(*args, **options))
            for broker in (self.real, self.model)
        ]
        real, model = answers
        if isinstance(real, OpenlineError) or isinstance(model, OpenlineError):
            self.same_refusal(real, model)
        return real, model

    def same_refusal(self, real: Any, model: Any) -> None:
        assert isinstance(real, OpenlineError), (real, model)
        assert isinstance(model, OpenlineError), (real, model)
        assert real.code is model.code
        assert (real.position is None) == (model.position is None)
        if real.position is not None and model.position is not None:
            self.same_position(real.position, model.position)

    def same_position(self, real: tuple[str, int], model: tuple[str, int]) -> None:
        self.epochs.same(real[0], model[0])
        assert real[1] == model[1]
        pair = (Position(*real), Position(*model))
        if real[0] and pair not in self.positions:
            self.positions.append(pair)

    def same_publications(self, real: Any, model: Any) -> None:
        assert len(real) == len(model)
        for one, other in zip(real, model, strict=True):
            self.same_publication(one, other)

    def same_publication(self, real: Publication | None, model: Publication | None) -> None:
        assert (real is None) == (model is None)
        if real is None or model is None:
            return
        self.same_position((real.epoch, real.offset), (model.epoch, model.offset))
        assert (real.data, real.meta, real.kind, real.token) == (
            model.data,
            model.meta,
            model.kind,
            model.token,
        )

    @rule(
        channel=CHANNELS,
        data=st.binary(max_size=8),
        kind=st.sampled_from(Kind),
        key=KEYS,
        history_size=SIZES,
        history_bytes=st.sampled_from([4_194_304, 4_194_304, 40, 15]),
        ephemeral=st.sampled_from([False, False, False, True]),
        expect=st.one_of(st.none(), st.none(), st.integers(0, 50)),
    )
    def publish(self, expect, **message) -> None:
        places: list[Position | None] = [None, None]
        if expect is not None:
            here = self.positions[-1 - expect % len(self.positions)] if self.positions else None
            places = list(here or (Position("none", 0), Position("none", 0)))
        replies = [
            self.run(broker.publish([Draft(meta=b'"ts":1', token="c.1", expect=place, **message)]))
            for broker, place in zip((self.real, self.model), places, strict=True)
        ]
        ((real,), (model,)) = replies
        if isinstance(real, OpenlineError) or isinstance(model, OpenlineError):
            self.same_refusal(real, model)
            return
        assert isinstance(real, Published)
        self.same_position((real.epoch, real.offset), (model.epoch, model.offset))
        assert (real.duplicate, real.subscribers) == (model.duplicate, model.subscribers)

    @rule(channel=CHANNELS, last=OFFSETS, picks=st.lists(st.integers(0, 50), max_size=3))
    def look(self, channel, last, picks) -> None:
        chosen = [self.positions[pick % len(self.positions)] for pick in picks if self.positions]
        (real,) = self.run(
            self.real.look(0, [Look(channel, tuple(pair[0] for pair in chosen), last)])
        )
        (model,) = self.run(
            self.model.look(0, [Look(channel, tuple(pair[1] for pair in chosen), last)])
        )
        if isinstance(real, Stale) or isinstance(model, Stale):
            assert real == model
            return
        assert isinstance(real, Looked)
        self.histories.same(real.history, model.history)
        self.same_position((real.epoch, real.offset), (model.epoch, model.offset))
        assert (real.bus, real.began, real.start) == (model.bus, model.began, model.start)
        self.same_publications(real.publications, model.publications)
        for place, publication in enumerate(real.publications):
            assert publication.offset == real.start + place + 1

    @rule(channel=CHANNELS, limit=st.integers(1, 5), reverse=st.booleans(), pick=st.integers(0, 50))
    def history(self, channel, limit, reverse, pick) -> None:
        chosen = self.positions[pick % len(self.positions)] if self.positions and pick else None
        answers = [
            self.run(broker.history(channel, since=since, limit=limit, reverse=reverse))
            for broker, since in zip((self.real, self.model), chosen or (None, None), strict=True)
        ]
        real, model = answers
        if isinstance(real, OpenlineError) or isinstance(model, OpenlineError):
            self.same_refusal(real, model)
            return
        self.same_position((real.epoch, real.offset), (model.epoch, model.offset))
        assert real.more == model.more
        self.same_publications(real.publications, model.publications)

    @rule(channel=CHANNELS)
    def open(self, channel) -> None:
        self.run(self.real.open(channel, "Opened"))
        self.run(self.model.open(channel, "Opened"))

    @rule(channel=CHANNELS)
    def drop(self, channel) -> None:
        self.same_position(*self.both("drop", channel))

    @rule(node=NODES)
    def beat(self, node) -> None:
        told = Beat(incarnation=node, node=b'{"node":"x"}', canary=True)  # their clocks may differ
        real, model = self.both("beat", 0, told)
        self.histories.same(real.history, model.history)
        assert (real.bus, real.lost, real.expired) == (model.bus, model.lost, model.expired)

    @rule(node=NODES)
    def resign(self, node) -> None:
        self.both("resign", node)

    @rule(node=NODES)
    def reap(self, node) -> None:
        real, model = self.both("reap", 0, node)
        assert real == model
        # In which order members leave is not promised, and so not what each leave counts.
        entries = self.both("read", 0, self.read, block=0)
        left = [sorted((e.type, e.channel, _who(e)) for e in found) for found in entries]
        assert left[0] == left[1]
        self.read += len(left[0])

    @rule(
        channel=CHANNELS,
        newcomer=NEWCOMERS,
        node=NODES,
        announce=st.booleans(),
        former=st.just("") | CONNECTIONS,
    )
    def enter(self, channel, newcomer, node, announce, former) -> None:
        real, model = self.both("enter", channel, newcomer, node, announce=announce, former=former)
        if not isinstance(real, OpenlineError):
            assert real == model

    @rule(channel=CHANNELS, connection=CONNECTIONS, node=NODES, linger=st.booleans())
    def leave(self, channel, connection, node, linger) -> None:
        real, model = self.both("leave", channel, connection, node, announce=True, linger=linger)
        assert real == model

    @rule(node=NODES, counts=st.dictionaries(CHANNELS, st.integers(0, 3), max_size=3))
    def listeners(self, node, counts) -> None:
        self.both("listeners", node, counts)

    @rule(channel=CHANNELS, user=USERS)
    def typing(self, channel, user) -> None:
        self.both("typing", channel, user)

    @rule()
    @precondition(lambda self: self.read > 10)
    def flush(self) -> None:
        with self.server.client() as client:
            client.flushall()
        self.model.flush()
        self.read = 0

    @rule()
    def fence(self) -> None:
        """As after a promotion that lost nothing: the record was made under another replication id."""
        with self.server.client() as client:
            client.hset("ol:{p0}:history", "replid", "another")
        self.model.fence()
        # The model has its new history at once, Redis with the next script that writes.
        self.both("control", b"{}")

    @invariant()
    def the_bus_tells_the_same(self) -> None:
        if not hasattr(self, "real"):
            return
        real, model = self.both("read", 0, self.read, block=0)
        assert len(real) == len(model)
        for one, other in zip(real, model, strict=True):
            self.same_entry(one, other)
        self.read = real[-1].id if real else self.read

    def same_entry(self, real: Entry, model: Entry) -> None:
        assert (real.id, real.type, real.channel) == (model.id, model.type, model.channel)
        assert real.id == self.read + 1
        self.read = real.id
        self.same_publication(real.publication, model.publication)
        fragments = [_fields(entry) for entry in (real, model)]
        if real.type is EntryType.BEAT:
            assert fragments[0].pop("at") - fragments[1].pop("at") < 1000
        assert fragments[0] == fragments[1]

    @invariant()
    def the_rest_is_the_same(self) -> None:
        if not hasattr(self, "real"):
            return
        channels = ["room:a", "room:b", "user:c"]
        for operation, args in (("subscribers", (channels,)), ("nodes", ())):
            real, model = self.both(operation, *args)
            assert real == model
        for channel in channels[:1]:
            real, model = self.both("members", channel, cursor=None, limit=3)
            assert real == model
        real, model = self.both("channels", "room:", cursor=None, limit=1)
        assert real == model


def _fields(entry: Entry) -> dict[str, Any]:
    """What an entry says, which is a whole object or what stands within one."""
    text = entry.fragment
    found: dict[str, Any] = json.loads(text if text.startswith(b"{") else b"{%b}" % text)
    return found


def _who(entry: Entry) -> str:
    """The connection that joined or left."""
    connection: str = _fields(entry)["connection"]
    return connection


@pytest.mark.timeout(600)
@pytest.mark.parametrize("flavour", ["redis", pytest.param("valkey", marks=pytest.mark.slow)])
def test_memory_is_a_model_of_redis_streams(tmp_path, flavour):
    """One state machine, run against each real server."""
    with given_or_started(tmp_path, flavour) as server, asyncio.Runner() as runner:
        BrokerModel.server = server
        BrokerModel.loop = runner.get_loop()
        run_state_machine_as_test(
            BrokerModel,
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
