"""The page's modules one by one, as the browser runs them: what an end is called, messages, members, names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import Tab, chromium
from tests.support.stack import Stack

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def page(stack: Stack, browser: Browser) -> Iterator[Page]:
    with Tab(browser, f"{stack.url}/healthz") as tab:
        yield tab.page


def run(page: Page, module: str, body: str, arg: Any = None) -> Any:
    return page.evaluate(
        f"async (arg) => {{ const it = await import('/{module}.js'); {body} }}", arg
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            {"close": 4004, "message": "maintenance"},
            "The server ended this connection. (maintenance)",
        ),
        ({"close": 4004, "message": "closed with 4004"}, "The server ended this connection."),
        ({"close": 1000, "message": "bye"}, "The connection was lost."),
        ({"close": 4099, "message": "closed with 4099"}, "The connection was lost."),
        ({"code": "unauthorized", "message": "Please sign in again."}, "Please sign in again."),
    ],
)
def test_the_end_of_a_connection_is_said_in_words(page: Page, error: Any, text: str) -> None:
    assert run(page, "words", "return it.ending(arg);", error) == text


@pytest.mark.parametrize(
    ("error", "over"),
    [
        ({"code": "unauthorized", "close": 4001}, True),
        ({"code": "closed", "close": 4005}, True),
        ({"code": "unauthorized"}, True),
        ({"code": "closed", "close": 4004}, False),
    ],
)
def test_a_sign_in_that_is_over_leads_to_the_welcome(page: Page, error: Any, *, over: bool) -> None:
    assert run(page, "words", "return it.signedOut(arg);", error) is over


def test_changes_while_the_list_of_members_is_under_way_count_on_top_of_it(page: Page) -> None:
    body = """
      const room = new it.Room("r");
      room.expectMembers();
      room.change({type: "join", connection: "3", user: "carol", count: 3});
      room.change({type: "leave", connection: "1", user: "alice", count: 2});
      room.listMembers([{connection: "1", user: "alice"}, {connection: "2", user: "bob"}], 2);
      const misfit = room.change({type: "join", connection: "4", user: "bob", count: 5});
      return [room.people("carol"), misfit];
    """
    people, misfit = run(page, "store", body)
    assert people == [{"user": "carol", "connections": 1}, {"user": "bob", "connections": 2}]
    assert misfit is True


def test_what_is_void_goes_and_history_takes_its_place_in_order(page: Page) -> None:
    body = """
      const room = new it.Room("r");
      for (const offset of [1, 2, 3]) room.add({offset, data: offset});
      const dropped = room.void(2);
      room.note("lost here", 0);
      room.add({offset: 5, data: "live"});
      const merged = room.merge([{offset: 2, data: 2}, {offset: 3, data: "new 3"}, {offset: 4, data: "new 4"}]);
      return [dropped, merged, room.messages.map(({data, notice}) => data ?? notice)];
    """
    assert run(page, "store", body) == [1, 2, [1, 2, "lost here", "new 3", "new 4", "live"]]


def test_names_and_rooms_are_spelt_as_the_server_takes_them(page: Page) -> None:
    # The welcome form is built when its module loads, so this runs on the page itself.
    page.goto(page.url.replace("/healthz", "/"))
    slugs = "return arg.map(it.slug);"
    assert run(page, "welcome", slugs, ["Ada Lovelace", " Zoë!", "\u041c\u0438\u0440", "/?"]) == [
        "ada-lovelace",
        "xn--zo-ija",
        "xn--h1ahn",
        "",
    ]
    names = [" my room ", "a+b|c=d", "  ", "部屋"]
    rooms = ["my-room", "a+b|c=d", "lobby", "xn--ogt573j"]
    assert run(page, "welcome", "return arg.map(it.room);", names) == rooms


@pytest.mark.parametrize("name", ["my room/1", "x" * 201, "a%20b", "部/屋", "日\u202ea"])
def test_a_name_that_no_room_can_have_is_refused_never_another_room(page: Page, name: str) -> None:
    page.goto(page.url.replace("/healthz", "/"))
    refused = "try { return it.room(arg); } catch (error) { return [error.name, error.message]; }"
    _, message = run(page, "welcome", refused, name)
    assert "A room's name has 1 to 200 letters" in message
    assert name.replace(" ", "-")[:40] in message


NAMES = [
    "комната",
    "部屋",
    "zoë",
    "مرحبا",
    "日本語-room",
    "🎉",
    "한국어",
    "a-ü_b",
    "ελληνικά",
    "plain",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_spelt_as_browsers_spell_domains_and_read_back(page: Page, name: str) -> None:
    body = "return [it.spell(arg), it.readable(it.spell(arg)), new URL('http://' + arg).hostname];"
    spelt, read, domain = run(page, "names", body, name)
    assert read == name
    assert spelt == domain


@pytest.mark.parametrize(
    "name", ["xn--", "xn--!!", "xn--a", "xn--zzzzzzzzzzzzzzzzzzzz", "xn--ab-", None]
)
def test_what_only_looks_like_a_spelling_is_read_as_it_stands(page: Page, name: Any) -> None:
    assert run(page, "names", "return it.readable(arg);", name) == name


def test_the_count_tells_what_is_missing_and_what_came_twice(page: Page) -> None:
    body = """
      const tally = new it.Tally();
      for (const offset of [5, 6, 9, 9, 10]) tally.take({offset}, false);
      tally.take({offset: 14, skipped: 3}, true);
      tally.lost();
      tally.take({offset: 2}, false);
      tally.take({}, false);
      return [tally.got, tally.received, tally.missing, tally.twice];
    """
    assert run(page, "traffic", body) == [8, 1, 2, 1]


def test_frames_are_shown_without_the_token_and_with_the_time_of_their_answer(page: Page) -> None:
    body = """
      const traffic = new it.Traffic(() => {});
      const token = "eyJ" + "a".repeat(200);
      traffic.sent(JSON.stringify({type: "auth", id: 1, token}));
      traffic.sent(JSON.stringify({type: "publish", id: 2, channel: "room:a", data: 1}));
      traffic.sent(JSON.stringify({type: "publish", id: 3, channel: "cursor:a", data: 1}));
      traffic.sent(JSON.stringify({type: "ping"}));
      traffic.got(JSON.stringify({type: "ack", id: 2, offset: 1}));
      traffic.got(JSON.stringify({type: "message", channel: "room:a", data: 1, offset: 1}));
      const kept = traffic.rows.map(({way, type, ms}) => [way, type, ms !== null]);
      return [kept, JSON.stringify(traffic.rows).includes(token)];
    """
    rows = [["sent", "auth", False], ["sent", "publish", True], ["got", "message", False]]
    assert run(page, "traffic", body) == [rows, False]


@pytest.mark.parametrize(
    "value", [None, True, [1, {"a": 'it\'s "é" \\ \n🎉'}], {"x": [False, 2.5]}]
)
def test_data_is_written_as_python_writes_it(page: Page, value: Any) -> None:
    body = """return it.snippet("Python", {door: "http://d", token: "t", channel: "room:a", data: arg});"""
    line = next(
        line for line in run(page, "snippets", body, value).splitlines() if "publish(" in line
    )
    written = line.strip().removeprefix("await channel.publish(").removesuffix(")")
    assert ast.literal_eval(written) == value
