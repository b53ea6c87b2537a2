"""Which part of a system had a message for how long."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from loadtest.bench.hops import Hops, Ports, hops
from loadtest.bench.scenarios import sides
from loadtest.bench.scenarios.hops import measure
from loadtest.bench.targets import AbsentError
from loadtest.bench.wire import Packet, Wire

PORTS = Ports(publisher=80, redis=6379, gateways=frozenset({81, 82}))
CLIENT, OTHER = 40_000, 40_001
ONE = b'"seq":0,"sent":1000'
TWO = b'"seq":0,"sent":2000'


def test_each_hop_is_the_time_to_the_next_place():
    packets = [
        Packet(1010, CLIENT, 80, b"POST ... {%s}" % ONE),
        Packet(1030, OTHER, 6379, b"EVALSHA ... {%s}" % ONE),
        Packet(1060, 6379, OTHER, b"[{%s}]" % ONE),
        Packet(1065, 6379, CLIENT, b"[{%s}]" % ONE),  # to the other gateway
        Packet(1100, 82, CLIENT, b"{%s}" % ONE),
        Packet(1101, 82, CLIENT, b"{%s}" % ONE),  # a second reader
        Packet(1102, 80, CLIENT, b"HTTP/1.1 200"),
    ]
    assert hops(packets, PORTS) == [Hops(call=10, publisher=20, redis=30, gateway=40)]


def test_messages_that_share_packets_are_told_apart():
    packets = [
        Packet(1010, CLIENT, 80, ONE),
        Packet(2005, CLIENT, 80, TWO),
        Packet(2020, CLIENT, 6379, ONE + b"}," + TWO),
        Packet(2050, 6379, CLIENT, ONE + b"}," + TWO),
        Packet(2090, 81, CLIENT, ONE + b"}," + TWO),
    ]
    assert hops(packets, PORTS) == [Hops(10, 1010, 30, 40), Hops(5, 15, 30, 40)]


def test_a_message_that_was_not_seen_everywhere_has_no_hops():
    packets = [Packet(1010, CLIENT, 80, ONE), Packet(1090, 81, CLIENT, ONE)]
    assert hops(packets, PORTS) == []


def test_one_process_may_take_posts_and_hold_the_sockets():
    ports = PORTS._replace(gateways=frozenset({80}))
    packets = [
        Packet(1010, CLIENT, 80, ONE),
        Packet(1030, OTHER, 6379, ONE),
        Packet(1060, 6379, OTHER, ONE),
        Packet(1100, 80, CLIENT, ONE),
    ]
    assert hops(packets, ports) == [Hops(10, 20, 30, 40)]


@pytest.mark.server
@pytest.mark.slow
def test_the_hops_of_a_running_system_add_up_to_what_it_took():
    try:
        Wire().stop()
    except AbsentError as error:
        pytest.skip(str(error))
    with ExitStack() as stack:
        side = sides.baseline(20, stack)
        sides.prime(side, 20)
        values = measure(side, 50, 1.0)
    assert values["arrived"] == 1
    parts = [values[f"{name}_p50"] for name in Hops._fields]
    assert min(parts) > 0
    assert values["all_p50"] >= max(parts)
