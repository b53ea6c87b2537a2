"""Dashboards and alerts on a live Prometheus: no panel is empty, no metric is unknown, alerts fire and clear."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx2
import pytest
import yaml

from tests.support import busy_day
from tests.support.busy_day import BusyDay
from tests.support.people import People
from tests.support.prometheus_server import SHIPPED, Prometheus, exporters, scaled_rules, targets
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(280)]

BOARDS = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
}
VARIABLES = {"$__rate_interval": "5s", "$namespace": ".*", "$node": ".*"}
QUERIES = [
    pytest.param(target["expr"], id=f"{name}: {panel['title']} {target['refId']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel.get("targets", ())
]
QUERIES += [
    pytest.param(mark["expr"], id=f"{name}: {mark['name']}")
    for name, board in BOARDS.items()
    for mark in board["annotations"]["list"]
]
SCALE = 60
METRIC = re.compile(r"\b(?:openline|redis|nginx|process)_\w+\b(?!\s*[=!]~?)")


@dataclass
class Watched:
    """A Prometheus that has seen a busy day with a failure in it."""

    stack: Stack
    prometheus: Prometheus
    fired: dict[str, set[str]] = field(default_factory=dict)
    cleared: dict[str, set[str]] = field(default_factory=dict)
    calm: tuple[float, float] = (0, 0)

    def all_ready(self) -> bool:
        """Whether the rules have found each service ready."""
        return self.prometheus.value("count(service:openline_ready:sum > 0)") == 3

    def during(self, name: str, *alerts: str) -> None:
        """Wait until the alerts fire."""
        self.fired[name] = _reached(lambda: self.prometheus.firing() & set(alerts), set(alerts))

    def after(self, name: str, *alerts: str) -> None:
        """Wait until none of them does."""
        self.cleared[name] = _reached(lambda: set(alerts) - self.prometheus.firing(), set(alerts))


def _reached(now, wanted: set[str]) -> set[str]:
    """What is reached of what is wanted, after at most 60 s."""
    try:
        wait_until(lambda: now() == wanted, timeout=60)
    except AssertionError:
        return now()
    return wanted


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    rules = scaled_rules(folder / "rules", by=SCALE)
    with Stack(folder / "stack", **busy_day.SETTINGS) as stack:
        beside = exporters(stack, folder)
        prometheus = Prometheus(folder)
        try:
            prometheus.run(targets(stack, beside), rules=rules)
            seen = Watched(stack, prometheus)
            asyncio.run(_day(seen))
            yield seen
        finally:
            for program in (prometheus, *beside.values()):
                program.stop()


async def _day(seen: Watched) -> None:
    stack = seen.stack
    async with People(stack.run) as people:
        day = BusyDay(stack, people)
        day.bound_redis()
        day.start()
        try:
            # Before the first scrapes nobody was ready.
            await asyncio.to_thread(wait_until, seen.all_ready, timeout=60)
            began = time.time() + 2
            await asyncio.sleep(8)
            await day.slow_readers()
            await day.too_late()
            seen.calm = (began, time.time())
            await asyncio.to_thread(_fail, seen)
            day.bound_redis()
            await asyncio.sleep(4)
        finally:
            await day.stop()


def _fail(seen: Watched) -> None:
    stack = seen.stack
    stack.pause("gateway-2")
    seen.during("paused gateway", "OpenlineTargetDown")
    stack.resume("gateway-2")
    seen.after("paused gateway", "OpenlineTargetDown")

    outage = (
        "OpenlineRedisDown",
        "OpenlineStoreUnavailable",
        "OpenlineSloBudgetBurnFast publishing",
    )
    stack.down("redis")
    seen.during("Redis", *outage)
    stack.up("redis")
    seen.after("Redis", *outage)

    stack.kill("gateway-2", signal.SIGTERM)


def test_every_target_is_scraped(watched: Watched) -> None:
    assert not watched.prometheus.down()


@pytest.mark.parametrize("expression", QUERIES)
def test_no_panel_is_empty(watched: Watched, expression: str) -> None:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    series = watched.prometheus.over(expression)
    values = [float(value) for found in series for _, value in found["values"]]
    assert [value for value in values if value == value], expression  # noqa: PLR0124 - not NaN


def test_every_metric_that_is_named_is_exported(watched: Watched) -> None:
    rules = [file.read_text("utf-8") for file in (SHIPPED / "rules").glob("*.yml")]
    asked = [
        rule["expr"]
        for text in rules
        for g in yaml.safe_load(text)["groups"]
        for rule in g["rules"]
    ]
    asked += [query.values[0] for query in QUERIES]
    named = {name for text in asked for name in METRIC.findall(re.sub(r"[\w]*:[\w:]+", "", text))}
    assert len(named) > 50
    assert named <= watched.prometheus.names(), named - watched.prometheus.names()


def test_variables_have_something_to_choose_from(watched: Watched) -> None:
    asked = {
        variable["query"]
        for board in BOARDS.values()
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
    }
    assert asked
    for query in asked:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()
        assert watched.prometheus.query(f"count by ({label}) ({metric})"), query


@pytest.mark.parametrize("service", ["gateway", "publisher", "auth"])
def test_promtool_finds_no_fault_with_names_and_units(watched: Watched, service: str) -> None:
    run = watched.stack.run
    url = run["gateways"][0] if service == "gateway" else run[service]
    shown = httpx2.get(f"{url}/metrics").content
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=shown, capture_output=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, b"")


def test_labels_have_few_values(watched: Watched) -> None:
    for found in watched.prometheus.query(
        'topk(3, count by (__name__) ({job=~"openline-(gateway|auth|publisher)"}))'
    ):
        assert float(found["value"][1]) < 400, found


@pytest.mark.parametrize(
    ("failure", "alert"),
    [
        ("paused gateway", "OpenlineTargetDown"),
        ("Redis", "OpenlineRedisDown"),
        ("Redis", "OpenlineStoreUnavailable"),
        ("Redis", "OpenlineSloBudgetBurnFast publishing"),
    ],
)
def test_an_alert_fires_while_it_lasts_and_clears_after_it(
    watched: Watched, failure: str, alert: str
) -> None:
    assert alert in watched.fired[failure]
    assert alert in watched.cleared[failure]


def test_nobody_is_woken_before_anything_fails(watched: Watched) -> None:
    began, ended = watched.calm
    assert ended - began > 3
    # Objectives are for machines that have nothing else to do.
    expression = 'ALERTS{alertstate="firing",severity="critical",slo=""}'
    for found in watched.prometheus.over(expression):
        times = [at for at, _ in found["values"]]
        assert not [at for at in times if began < at < ended], found["metric"]
