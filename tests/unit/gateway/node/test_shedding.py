"""Who sheds how many: by rule, for any fleet, and over the minutes after a scale-out."""

from __future__ import annotations

import math
import random
from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.node.newcomers import SETTLED_SECONDS, Newcomers
from services.gateway.node.shedding import BEGIN, END, MOST, SPARE, WINDOW_SECONDS, Shedding
from services.kernel.domain.peers import HANDSHAKE_SECONDS, Peer


def peer(node, connections=0, *, uptime=600.0, **more):
    return Peer(node=node, connections=connections, uptime=uptime, **more)


class Here(Shedding):
    """Looks at the fleet now and then."""

    def __init__(self):
        super().__init__("me")
        self.now = 0.0

    def look(self, own, *others, moving=0):
        self.now += WINDOW_SECONDS
        return self.number([peer("me", own), *others], own=own, moving=moving, now=self.now)


def number(own, *others, moving=0, here=None):
    """What a gateway sheds that has known the fleet for a while."""
    if here is None:
        here = Here()
    if not here.now:
        here.look(own, *others, moving=moving)
    return here.look(own, *others, moving=moving)


# The rule


def test_who_has_much_more_than_the_mean_sheds_a_hundredth_a_second_and_at_most_fifty():
    assert number(3000, peer("b")) == 30
    assert number(20_000, peer("b")) == MOST
    assert number(400, peer("b", 200)) == 4


def test_it_begins_beyond_a_tenth_and_fifty_more_than_the_mean_and_ends_at_a_twentieth():
    here = Here()
    # The mean is 1000 all the while.
    assert number(1150, peer("b", 850), here=here) == 0
    assert number(1151, peer("b", 849), here=here) == 11
    assert number(1055, peer("b", 945), here=here) == 5
    assert number(1050, peer("b", 950), here=here) == 0
    assert number(1100, peer("b", 900), here=here) == 0


def test_who_was_asked_to_go_no_longer_counts():
    here = Here()
    assert number(1200, peer("b", 800), here=here) == 12
    assert number(1200, peer("b", 800), here=here, moving=147) == 3
    assert number(1200, peer("b", 800), here=here, moving=150) == 0
    assert not here.active


@pytest.mark.parametrize(
    "others",
    [
        [],
        [peer("b"), peer("c", draining=True)],
        [peer("b", uptime=29.9), peer("c")],
    ],
)
def test_nobody_sheds_alone_or_while_one_drains_or_has_just_come(others):
    here = Here()
    assert number(3000, *others, here=here) == 0
    assert (here.active, here.blocked) == (False, True)


def test_nobody_sheds_while_the_fleet_has_a_tenth_of_the_handshakes_that_it_can_do():
    most = 2 * 0.1 * WINDOW_SECONDS / HANDSHAKE_SECONDS  # of two gateways

    def shed(accepted):
        here = Shedding("me")
        for now, came in ((0, 0), (WINDOW_SECONDS, accepted)):
            fleet = [peer("me", 3000, accepted=7 + came), peer("b")]
            found = here.number(fleet, own=3000, moving=0, now=now)
        return found

    assert shed(math.floor(most)) == 30
    assert shed(math.ceil(most) + 1) == 0


def test_nothing_is_shed_before_the_fleet_was_seen_for_a_while():
    here, fleet = Shedding("me"), [peer("me", 3000), peer("b")]
    told = [here.number(fleet, own=3000, moving=0, now=now) for now in (0, 1, 2, 3)]
    assert told == [0, 0, 0, 30]
    here.stop()
    assert (here.active, here.blocked) == (False, True)


@given(
    st.integers(0, 60_000),
    st.lists(st.integers(0, 60_000), min_size=1, max_size=30),
    st.integers(0, 2000),
)
def test_no_gateway_sheds_below_the_mean_or_more_than_its_share(own, others, moving):
    found = number(own, *[peer(f"n{n}", count) for n, count in enumerate(others)], moving=moving)
    mean = (own + sum(others)) / (len(others) + 1)
    staying = own - moving
    assert 0 <= found <= min(MOST, max(1, staying * 0.01))
    if found:
        assert staying > BEGIN * mean + SPARE
        assert staying - found > END * mean - 1


# Over the minutes after a scale-out


class World:
    """Gateways behind a front door that sends newcomers where fewest are, or past who sheds. A step is a second."""

    def __init__(self, sizes):
        self.chance = random.Random(7)
        self.now = 0.0
        self.ids = iter(range(10**9))
        self.gateways = {}
        self.moves = Counter()
        self.shed_at = {}
        self.came_at = {}
        for size in sizes:
            gateway = self.add(began=-600.0)
            for _ in range(size):
                gateway["here"].append(next(self.ids))
        self.returning = deque()

    def add(self, began=None):
        name = f"g{next(self.ids)}"
        gateway = {"here": [], "began": self.now if began is None else began, "accepted": 0}
        gateway |= {"rule": Shedding(name), "young": Newcomers(), "moving": {}}
        self.gateways[name] = gateway
        return gateway

    def arrive(self, client):
        name = min(
            (n for n, g in self.gateways.items() if not g["rule"].active),
            key=lambda n: len(self.gateways[n]["here"]),
        )
        gateway = self.gateways[name]
        gateway["here"].append(client)
        gateway["accepted"] += 1
        gateway["young"].came(client, self.now)
        self.came_at[client] = self.now

    def drain(self, gateway):
        """It ends; its clients come to the others."""
        name = next(n for n, g in self.gateways.items() if g is gateway)
        del self.gateways[name]
        for client in gateway["here"]:
            self.arrive(client)

    def told(self):
        return [
            peer(name, len(g["here"]), uptime=self.now - g["began"], accepted=g["accepted"])
            for name, g in self.gateways.items()
        ]

    def step(self):
        self.now += 1
        fleet = self.told()
        for gateway in self.gateways.values():
            gateway["young"].forget(self.now)
            moving = gateway["moving"]
            here = len(gateway["here"])
            count = gateway["rule"].number(fleet, own=here, moving=len(moving), now=self.now)
            for _ in range(20 * count):
                client = self.chance.choice(gateway["here"])
                if client in gateway["young"] or client in moving:
                    continue
                assert self.now - self.shed_at.get(client, -1e9) >= SETTLED_SECONDS
                assert self.now - self.came_at.get(client, -1e9) >= SETTLED_SECONDS
                self.shed_at[client] = self.now
                moving[client] = self.now + self.chance.uniform(0, 10)
                count -= 1
                if not count:
                    break
        for gateway in list(self.gateways.values()):
            left = {c for c, at in gateway["moving"].items() if at <= self.now}
            if left:
                gateway["moving"] = {c: t for c, t in gateway["moving"].items() if c not in left}
                gateway["here"] = [c for c in gateway["here"] if c not in left]
            for client in left:
                self.arrive(client)

    def spread(self):
        sizes = [len(g["here"]) for g in self.gateways.values()]
        mean = sum(sizes) / len(sizes)
        return max(sizes) / mean


def test_two_gateways_beside_four_of_20_000_have_their_share_after_some_two_minutes():
    world = World([20_000] * 4)
    world.add()
    world.add()
    while world.spread() > END + 0.005:
        assert world.now < 190
        world.step()
    # 30 s until they are known to stay, then 24,000 to move at 200 a second, the last ten seconds of which are the clients'.
    assert world.now == pytest.approx(30 + 24_000 / 200 + 10, abs=15)


def test_gateways_that_come_go_and_come_again_have_nobody_moved_twice_within_five_minutes():
    """A connection that is shed, or that came from one that left, is left alone for five minutes: `step` asserts it."""
    world = World([900, 900])
    for _ in range(2):
        third = world.add()
        for _ in range(75):
            world.step()
        assert len(third["here"]) > 100
        world.drain(third)
        for _ in range(20):
            world.step()
    assert len(world.shed_at) > 300
    world.add()
    for _ in range(420):
        world.step()
    assert world.spread() < END + 0.01
