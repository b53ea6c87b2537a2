"""The page's modules one by one, as the browser runs them: what a close code asks for, positions, members, backoff."""

from __future__ import annotations

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
    ("code", "action"),
    [
        *((code, "stay") for code in (1000, 1003, 1007, 1008, 1009, 4000, 4001, 4005, 4099)),
        *((code, "retry") for code in (1001, 1006, 1011, 1012, 1013, 4100, 4104, 4199)),
        *((code, "retry") for code in (1004, 1005, 1010, 1014, 1015, 1016, 2999, 3000, 3999, 4300)),
        *((code, "renew") for code in (4200, 4299)),
    ],
)
def test_the_range_of_a_close_code_says_what_to_do(page: Page, code: int, action: str) -> None:
    assert run(page, "close-codes", "return it.afterClose(arg, '').action;", code) == action


def test_a_draining_gateway_says_how_long_to_stay_away(page: Page) -> None:
    wait = "return it.afterClose(4100, arg).wait;"
    assert run(page, "close-codes", wait, "7") == 7
    assert run(page, "close-codes", wait, "soon") == 0


def test_backoff_grows_to_its_cap_with_full_jitter(page: Page) -> None:
    body = """
      const most = new it.Backoff({base: 1, cap: 8, random: () => 1});
      const least = new it.Backoff({base: 1, cap: 8, random: () => 0});
      const waits = [1, 2, 3, 4, 5].map(() => most.next());
      most.reset();
      return [waits, most.next(), least.next(), least.next(3)];
    """
    assert run(page, "backoff", body) == [[1, 2, 4, 8, 8], 1, 0, 3]


def test_positions_tell_the_next_message_from_an_old_one_and_a_gap(page: Page) -> None:
    body = """
      const positions = new it.Positions();
      positions.set("c", {epoch: "e", offset: 5});
      const take = (message) => positions.take({channel: "c", ...message});
      const taken = [{offset: 6}, {offset: 6}, {}, {offset: 9, skipped: 2}, {offset: 11}].map(take);
      return [taken, positions.get("c")];
    """
    taken, position = run(page, "positions", body)
    assert taken == ["next", "old", "next", "next", "gap"]
    assert position == {"epoch": "e", "offset": 11}


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
    assert run(page, "welcome", slugs, ["Ada Lovelace", " Zoë!", "\u041c\u0438\u0440"]) == [
        "ada-lovelace",
        "zoe",
        "",
    ]
    names = [" my room ", "a+b|c=d", "  "]
    rooms = ["my-room", "a+b|c=d", "lobby"]
    assert run(page, "welcome", "return arg.map(it.room);", names) == rooms


@pytest.mark.parametrize("name", ["комната", "my room/1", "部屋", "x" * 201, "a%20b"])
def test_a_name_that_no_room_can_have_is_refused_never_another_room(page: Page, name: str) -> None:
    page.goto(page.url.replace("/healthz", "/"))
    refused = "try { return it.room(arg); } catch (error) { return [error.name, error.message]; }"
    _, message = run(page, "welcome", refused, name)
    assert "A room's name has 1 to 200 of A-Z" in message
    assert name.replace(" ", "-")[:40] in message
