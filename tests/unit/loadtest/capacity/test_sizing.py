"""From costs to a fleet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.capacity.figures import SHARE, Figures
from loadtest.capacity.sizing import FILES, Wish, plan

FIGURES = Figures(
    knee=80_000,
    knee_core=0.9,
    delivery_us=8,
    entry_us=20,
    publish_us=300,
    redis_us=60,
    reader_core=0.004,
    nginx_us=9,
    nginx_kb=20,
    handshake_us=500,
    connection_kb=8,
    redis_kb=0.5,
    gateway_mb=60,
    connections=20_000,
)
WISH = Wish(1_000_000, 0.1, 100)


def test_a_million_connections_by_hand() -> None:
    found = plan(FIGURES, WISH)
    # 100,000 deliveries and 1,000 messages a second; 20,000 a gateway, since no more was measured.
    assert (found.holds, found.per_gateway) == ("what was measured", 20_000)
    assert found.gateways == 50 + 5
    assert found.gateway_mb == pytest.approx(60 + 160)
    assert found.memory_limit_mb == 384
    assert found.publishers == 2
    assert found.nginx_workers == 2
    assert found.nginx_pods == 31
    assert found.redis_core == pytest.approx(0.06 + 55 * 0.004)
    assert (found.servers, found.partitions) == (1, 1)
    assert found.warnings == ()


def test_a_plan_from_the_users_own_cap_says_so() -> None:
    capped = replace(FIGURES, connections=1_200, capped=True)
    warning = plan(capped, WISH).warnings[0]
    assert "1,200 connections because --most asked for no more" in warning
    assert any("--most" in line.sum for line in plan(capped, WISH).lines)
    roomy = replace(FIGURES, connections=200_000, capped=True)
    assert plan(roomy, WISH).warnings == ()
    assert plan(FIGURES, WISH).warnings == ()


@pytest.mark.parametrize(
    ("figures", "wish", "holds", "each"),
    [
        (replace(FIGURES, connections=200_000), WISH, "files", 65_000),
        (replace(FIGURES, connections=200_000, connection_kb=20), WISH, "memory", 47_000),
        (FIGURES, Wish(100_000, 10, 1000), "CPU", 7_250),
    ],
)
def test_what_is_scarcest_holds(figures: Figures, wish: Wish, holds: str, each: int) -> None:
    found = plan(figures, wish)
    assert (found.holds, found.per_gateway) == (holds, each)


def test_more_messages_than_a_server_writes_take_more_servers() -> None:
    found = plan(FIGURES, Wish(1_000_000, 1, 100))
    # 10,000 messages a second are 0.6 of a core, and the gateways' reads come on top, on each server.
    assert (found.servers, found.partitions) == (2, 2)
    assert found.redis_core == pytest.approx(0.3 + found.gateways * 0.004)
    (note,) = found.warnings
    assert "Set `OPENLINE_PARTITIONS` to 2" in note
    assert {line.what: line.result for line in found.lines}["Redis servers"] == "2"


def test_partitions_beside_each_other_are_read_one_by_one() -> None:
    found = plan(FIGURES, Wish(1_000_000, 1, 100, partitions=2))
    # Twice 55 readers take 0.44 of each, so that 0.16 are left for messages.
    assert (found.servers, found.partitions) == (4, 8)
    assert found.redis_core == pytest.approx(0.15 + 0.44)


def test_a_plan_for_servers_that_there_are_says_whether_they_suffice() -> None:
    roomy = plan(FIGURES, Wish(1_000_000, 1, 100, servers=4))
    assert (roomy.servers, roomy.partitions) == (4, 4)
    assert roomy.redis_core == pytest.approx(0.15 + 55 * 0.004)
    short = plan(FIGURES, Wish(1_000_000, 1, 100, servers=1))
    assert short.redis_core == pytest.approx(0.6 + 55 * 0.004)
    assert "each of 1 Redis servers would use 0.82 of its one core" in short.warnings[0]


def test_gateways_that_read_more_than_a_server_gives_fit_nowhere() -> None:
    found = plan(replace(FIGURES, connections=2_000), WISH)
    assert found.servers == 0
    assert "none would do" in [line.result for line in found.lines]
    assert "fewer and larger gateways" in found.warnings[0]


def test_each_result_is_in_the_arithmetic() -> None:
    found = plan(FIGURES, WISH)
    results = {line.what: line.result for line in found.lines}
    assert results["deliveries"] == "100,000/s"
    assert results["connections a gateway by CPU"] == "725,000"
    assert results["gateways"] == "55"
    assert results["everybody returns at once"] == "10 s at the least"
    assert results["memory of nginx"] == "20,000 MB in all"


@given(
    st.integers(1, 5_000_000),
    st.floats(0.001, 5),
    st.floats(1, 5_000),
    st.integers(100, 100_000),
)
def test_no_gateway_is_asked_for_more_than_it_has(
    connections: int, each: float, audience: float, measured: int
) -> None:
    wish = Wish(connections, each, audience)
    found = plan(replace(FIGURES, connections=measured), wish)
    assert found.per_gateway * found.gateways >= connections
    assert found.per_gateway <= max(1, min(measured, FILES))
    used = wish.messages * 20e-6 + found.per_gateway * each * 8e-6
    assert found.per_gateway == 1 or used <= SHARE + 1e-9
    assert found.nginx_workers * SHARE * 1e6 >= wish.deliveries * 9 - 1e-6
