"""The page as `make run` serves it: a visitor breaks things in a real Chromium, and reads what was missed and lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest
from playwright.sync_api import Browser, WebSocketRoute, expect

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


def test_a_bot_on_another_gateway_makes_one_visitor_enough(visit: Visits, stack: Stack) -> None:
    ada = visit.join("ada")
    press(ada, "Have a bot join")
    bot = ada.page.locator("#people li[data-user^=bot-]").get_attribute("data-user") or ""
    wait_until(lambda: any(bot in users for users in places(ada).values()), timeout=30)
    # It may take it some tries to come to another gateway.
    wait_until(lambda: bot not in places(ada).get(ada.gateway(), {bot}), timeout=30)
    expect(ada.page.locator(f'.pointer[data-user="{bot}"]')).to_be_attached()
    ada.say("hello")
    expect(ada.page.locator("#messages .bubble").last).to_contain_text("I read that on gateway-")

    press(ada, "Kill this gateway")
    expect_report(ada, r"(\d+) missed, \1 recovered, 0 lost\.")
    expect(ada.page.locator("#messages .bubble").filter(has_text="5 of 5")).to_be_visible()
    assert ada.offsets() == list(range(1, len(ada.offsets()) + 1))
    expect(ada.page.locator("#count-all")).to_contain_text("0 missing, 0 twice")
    press(ada, "Send the bot away")
    ada.expect_people(ada.name)
    for number in (1, 2):
        stack.wait_ready(f"gateway-{number}")
    # The visitor is who they were: a reload does not make them the bot.
    ada.page.reload()
    ada.expect_state("Connected", AWAY)
    ada.expect_people(ada.name)
    assert not ada.tab.errors


def test_a_bot_answers_what_was_said_while_its_own_line_was_broken(visit: Visits) -> None:
    lines: list[WebSocketRoute] = []
    broken = False

    def connect(line: WebSocketRoute) -> None:
        lines.append(line)
        if broken:
            line.close()
        else:
            line.connect_to_server()

    ada = visit.welcome()
    # The bot brings a ?sid= of its own; the visitor goes by a cookie.
    ada.page.route_web_socket(re.compile(r"\?sid="), connect)
    ada.join(f"ada-{visit.room}")
    press(ada, "Have a bot join")
    bot = ada.page.locator("#people li[data-user^=bot-]").get_attribute("data-user")
    expect(ada.page.locator(f'.pointer[data-user="{bot}"]')).to_be_attached()
    broken = True
    lines[-1].close()
    ada.say("hello")
    ada.expect_said("hello")
    broken = False
    expect(ada.page.locator("#messages")).to_contain_text("I read that on", timeout=AWAY)
    assert not ada.tab.errors


def test_the_chart_is_fed_two_hundred_messages_a_second_until_it_is_stopped(visit: Visits) -> None:
    ada = visit.join("ada")
    press(ada, "Start 200 messages a second")
    said = ada.page.locator("#chart-said")
    # About as many: both ends of a second are cut by the page's clock, on a machine that may be busy.
    expect(said).to_have_text(
        re.compile(r"^(1[5-9]\d|2[0-4]\d) messages a second, \d+ ms from"), timeout=AWAY
    )
    drawn = ada.page.locator("#chart").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(part => part > 0)"
    )
    assert drawn
    press(ada, "Stop")
    stopped = said.text_content()
    ada.page.wait_for_timeout(2500)
    assert said.text_content() == stopped
    assert not ada.tab.errors


def test_a_visitor_without_a_back_end_sends_a_notification(visit: Visits) -> None:
    ada, grace = visit.join("ada"), visit.join("grace")
    press(ada, "Send one for me")
    for visitor in (ada, grace):
        expect(visitor.toast("Your back end says hello")).to_be_visible()
    assert not ada.tab.errors + grace.tab.errors


def test_others_see_where_one_points_unless_one_hides_it(visit: Visits) -> None:
    ada, grace = visit.join("ada"), visit.join("grace")
    for visitor in (ada, grace):
        visitor.expect_people(ada.name, grace.name)
    pointer = grace.page.locator(f'.pointer[data-user="{ada.name}"]')
    conversation = ada.page.locator("#conversation")
    conversation.hover(position={"x": 40, "y": 60})
    expect(pointer).to_be_attached()
    ada.page.get_by_label("Pointers").uncheck()
    expect(pointer).to_have_count(0)
    conversation.hover(position={"x": 80, "y": 90})
    ada.say("the pointer is hidden")
    grace.expect_said("the pointer is hidden")
    expect(pointer).to_have_count(0)
    assert not ada.tab.errors + grace.tab.errors
