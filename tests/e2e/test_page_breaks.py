"""The page as `make run` serves it: a visitor breaks things in a real Chromium, and reads what was missed and lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import chromium
from tests.support.stack import Stack
from tests.support.visitors import AWAY, Visitor, Visits
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What `make run` starts: the page may order things."""
    with Stack(tmp_path_factory.mktemp("demo"), OPENLINE_DEMO="on") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def visit(stack: Stack, browser: Browser) -> Iterator[Visits]:
    with ExitStack() as tabs:
        yield Visits(stack, browser, tabs)


def press(visitor: Visitor, name: str) -> None:
    visitor.page.get_by_role("button", name=name).click()


def expect_report(visitor: Visitor, pattern: str) -> None:
    expect(visitor.page.locator("#break-said")).to_have_text(re.compile(pattern), timeout=AWAY)


def places(visitor: Visitor) -> dict[str, set[str]]:
    """Who is on which gateway, as the strip shows it."""
    rows = visitor.page.locator("#gateways li").evaluate_all(
        "rows => rows.map(row => [row.dataset.gateway, [...row.querySelectorAll('.face')].map(face => face.dataset.user)])"
    )
    return {name: set(users) for name, users in rows}


def test_the_strip_shows_who_is_on_which_gateway(visit: Visits, stack: Stack) -> None:
    ada, grace = visit.join("ada"), visit.join("grace")

    def expected() -> dict[str, set[str]]:
        on: dict[str, set[str]] = {"gateway-1": set(), "gateway-2": set()}
        for visitor in (ada, grace):
            on[visitor.gateway()].add(visitor.name)
        return on

    for visitor in (ada, grace):
        wait_until(lambda v=visitor: places(v) == expected(), timeout=30)
    stack.kill(ada.gateway())
    for visitor in (ada, grace):
        visitor.expect_state("Connected", AWAY)
        wait_until(lambda v=visitor: places(v) == expected(), timeout=30)
    press(grace, "Leave")
    wait_until(lambda: grace.name not in set().union(*places(ada).values()), timeout=30)
    assert not ada.tab.errors


def test_a_visitor_kills_the_gateway_and_reads_that_nothing_is_lost(
    visit: Visits, stack: Stack
) -> None:
    ada = visit.join("ada")
    gateway = ada.gateway()
    before = stack.pid(gateway)
    press(ada, "Kill this gateway")
    expect_report(ada, r"^Back after \d+ ms, on gateway-\d: \d+ missed, \d+ recovered, 0 lost\.")
    assert ada.gateway() != gateway
    wait_until(lambda: stack.pid(gateway) != before, timeout=30)
    stack.wait_ready(gateway)
    ada.say("after it")
    ada.expect_said("after it")
    expect(ada.page.locator("#gateways")).not_to_contain_text("restarting", timeout=AWAY)
    assert not ada.tab.errors


def test_a_stalled_tab_reads_later_what_it_did_not_read(visit: Visits) -> None:
    ada, grace = visit.join("ada"), visit.join("grace")
    ada.expect_people(ada.name, grace.name)
    press(ada, "Stall me 10 s")
    for text in ("one", "two"):
        grace.say(text)
    grace.expect_said("one", "two")
    expect(ada.page.locator("#messages .bubble")).to_have_count(0)
    expect_report(ada, r"2 waited, 2 read within \d+ ms, 0 lost|2 missed, 2 recovered, 0 lost")
    ada.expect_said("one", "two")
    assert ada.offsets() == [1, 2]
    assert not ada.tab.errors + grace.tab.errors


def test_a_foreign_page_kills_nothing(visit: Visits, stack: Stack) -> None:
    ada = visit.join("ada")
    before = stack.pid("gateway-1")
    path = f"{stack.url}/demo/gateways/gateway-1/kill"
    assert httpx2.post(path).status_code == 403
    foreign = ada.tab.context.new_page()
    # A page of the same machine under another origin, as another server's would be.
    foreign.goto(stack.url.replace("127.0.0.1", "localhost") + "/healthz")
    foreign.evaluate("path => fetch(path, {method: 'POST', mode: 'no-cors'})", path)
    foreign.close()
    assert stack.pid("gateway-1") == before
    assert stack.is_ready("gateway-1")
