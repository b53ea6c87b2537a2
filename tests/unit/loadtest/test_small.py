"""Small audiences: how they are published to, and that the rows find what was measured."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from loadtest.bench import report
from loadtest.bench.bench import Sample
from loadtest.bench.posts import CLIENTS
from loadtest.bench.rows import ROWS
from loadtest.bench.scenarios import sides, small

VALUES = {"cpu_us": 1.0, "a_core": 1.0, "p50_ms": 1.0, "p99_ms": 1.0}


def test_each_row_of_small_audiences_finds_its_figure():
    samples = [
        Sample("small", f"{name}, {way.name}", 0, VALUES)
        for name in (sides.OPENLINE, sides.BASELINE)
        for way in small._ways()
    ]
    middle = report.medians(report.spreads(samples))
    rows = [row for row in ROWS if row.against == sides.BASELINE]
    assert len(rows) == 6
    assert [row.figure(middle) for row in rows] == [1.0] * 6


def test_every_client_s_headers_have_a_row():
    ways = [*small._ways(), *small._headers()]
    assert {way.client for way in ways} == set(CLIENTS)
    assert len({way.name for way in ways}) == len(ways)


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize(
    "way", [small._ways()[1], small._ways()[4], small._ways()[-1]], ids=lambda way: way.name
)
def test_the_tutorials_app_brings_each_message_to_its_readers_once_and_in_order(way):
    with ExitStack() as stack:
        side = sides.baseline(20, stack)
        sides.prime(side, 20)
        values = small._measure(side, way, 1.0)
    assert values["published"] > 10
    assert (values["arrived"], values["gaps"], values["reorders"], values["lost"]) == (1, 0, 0, 0)
    assert values["a_core"] == pytest.approx(1e6 / values["cpu_us"])
    assert 0 < values["p50_ms"] <= values["p99_ms"]
