"""Chromium's own EventSource through nginx: events as they happen, nothing missed when gateways die under it, and no
refusal that ends it for good.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser
from websockets.sync.client import connect

from services.kernel.domain.limits import Limits
from tests.support.browser import Tab, chromium
from tests.support.stack import Stack

pytestmark = pytest.mark.browser

LISTEN = """
(url) => {
  const source = new EventSource(url);
  Object.assign(window, { source, heard: [], opened: 0, states: new Set() });
  source.onopen = () => (window.opened += 1);
  source.onerror = () => window.states.add(source.readyState);
  for (const kind of ["subscribed", "message", "reset", "problem", "join", "expiring"]) {
    source.addEventListener(kind, (event) => {
      window.heard.push({ ...JSON.parse(event.data), kind, id: event.lastEventId });
    });
  }
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


class Listener:
    """A tab with an EventSource in it, on a page of the front door itself."""

    def __init__(self, tab: Tab, url: str) -> None:
        self.page = tab.page
        self.page.evaluate(LISTEN, url)

    def heard(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.evaluate(
            "kind => heard.filter((event) => event.kind === kind)", kind
        )
        return found

    def wait_for(self, kind: str, number: int) -> list[dict[str, Any]]:
        self.page.wait_for_function(
            "([kind, n]) => heard.filter((event) => event.kind === kind).length >= n",
            arg=[kind, number],
            timeout=40_000,
        )
        return self.heard(kind)

    def opened(self) -> int:
        return int(self.page.evaluate("opened"))

    def error_states(self) -> list[int]:
        """`readyState` at each `error` event: 0 means that it will try again, 2 that it gave up."""
        states: list[int] = self.page.evaluate("[...states, source.readyState]")
        return states


def listening(tab: Tab, stack: Stack, *channels: str, token: str | None = None) -> Listener:
    query = "&".join(f"channel={channel}" for channel in channels)
    return Listener(tab, f"{stack.url}/sse?{query}" + (f"&token={token}" if token else ""))


def test_events_arrive_as_they_happen_not_when_a_buffer_is_full(
    stack: Stack, browser: Browser
) -> None:
    room = f"room:{secrets.token_hex(6)}"
    with Tab(browser, f"{stack.url}/healthz") as tab:
        listener = listening(tab, stack, room, token=stack.user_token())
        (subscribed,) = listener.wait_for("subscribed", 1)
        assert subscribed["channel"] == room
        for n in range(1, 4):
            stack.publish(room, {"n": n})
            assert listener.wait_for("message", n)[-1]["data"] == {"n": n}


def test_a_cookie_serves_as_token_on_a_page_of_our_own(stack: Stack, browser: Browser) -> None:
    room = f"room:{secrets.token_hex(6)}"
    with Tab(browser, f"{stack.url}/healthz") as tab:
        token = stack.connect_token("sse-cookie")
        tab.context.add_cookies([{"name": "openline_token", "value": token, "url": stack.url}])
        listener = listening(tab, stack, room)
        listener.wait_for("subscribed", 1)
        stack.publish(room, "for the bearer of the cookie")
        assert listener.wait_for("message", 1)[0]["data"] == "for the bearer of the cookie"


def test_an_event_source_misses_nothing_when_each_gateway_is_killed_in_turn(
    stack: Stack, browser: Browser
) -> None:
    rooms = [f"room:{secrets.token_hex(6)}" for _ in range(2)]
    with Tab(browser, f"{stack.url}/healthz") as tab:
        listener = listening(tab, stack, *rooms, token=stack.user_token())
        listener.wait_for("subscribed", 2)
        published = 0
        for gateway in ("gateway-1", "gateway-2"):
            published = _publish(stack, rooms, published, number=3)
            stack.down(gateway)
            # One of the two served it: these are missed, and recovered by its Last-Event-ID.
            published = _publish(stack, rooms, published, number=10)
            listener.wait_for("message", 2 * published)
            stack.up(gateway)
            published = _publish(stack, rooms, published, number=3)
        listener.wait_for("message", 2 * published)

        for room in rooms:
            heard = [event for event in listener.heard("message") if event["channel"] == room]
            assert [event["offset"] for event in heard] == list(range(1, published + 1))
            assert [event["data"] for event in heard] == list(range(published))
        assert listener.opened() >= 2, "no gateway that served it was killed"
        returns = listener.heard("subscribed")[2:]
        assert returns
        assert all(event["recovered"] for event in returns)
        assert not listener.heard("reset") + listener.heard("problem")
        assert 2 not in listener.error_states()


def _publish(stack: Stack, rooms: list[str], published: int, *, number: int) -> int:
    for n in range(published, published + number):
        for room in rooms:
            stack.publish(room, n)
    return published + number


AWAY_SECONDS = 10


def test_an_event_source_survives_ten_seconds_without_any_gateway(
    stack: Stack, browser: Browser
) -> None:
    room = f"room:{secrets.token_hex(6)}"
    with Tab(browser, f"{stack.url}/healthz") as tab:
        listener = listening(tab, stack, room, token=stack.user_token())
        listener.wait_for("subscribed", 1)
        stack.publish(room, "before")
        listener.wait_for("message", 1)
        for gateway in ("gateway-1", "gateway-2"):
            stack.down(gateway)
        since = time.monotonic()
        stack.publish(room, "missed")
        told = 1
        while time.monotonic() < since + AWAY_SECONDS:
            problem = listener.wait_for("problem", told)[-1]
            assert (problem["code"], problem["temporary"]) == ("unavailable", True)
            told += 1
        for gateway in ("gateway-1", "gateway-2"):
            stack.up(gateway)
        listener.wait_for("message", 2)
        stack.publish(room, "after")
        heard = listener.wait_for("message", 3)
        assert [event["data"] for event in heard] == ["before", "missed", "after"]
        assert 2 not in listener.error_states()


def test_an_event_source_with_a_token_that_has_ended_is_told_and_lives(
    stack: Stack, browser: Browser
) -> None:
    room = f"room:{secrets.token_hex(6)}"
    with Tab(browser, f"{stack.url}/healthz") as tab:
        token = stack.connect_token("sse-short", ttl=6)
        open_with_it = listening(tab, stack, room, token=token)
        open_with_it.wait_for("expiring", 1)
        # The stream ends with its token, and the browser comes back with the same address.
        (problem,) = open_with_it.wait_for("problem", 1)
        assert (problem["code"], problem["temporary"]) == ("unauthorized", False)
        assert 2 not in open_with_it.error_states()
        open_with_it.page.evaluate("source.close()")

        opened_later = listening(tab, stack, room, token=token)
        (problem,) = opened_later.wait_for("problem", 1)
        assert "expired" in problem["message"]
        assert 2 not in opened_later.error_states()


def test_an_event_source_that_is_one_too_many_comes_back_when_there_is_room(
    stack: Stack, browser: Browser
) -> None:
    room = f"room:{secrets.token_hex(6)}"
    user = f"u-{secrets.token_hex(4)}"
    stack.down("gateway-2")  # the count that refuses a handshake is one gateway's own
    try:
        with Tab(browser, f"{stack.url}/healthz") as tab:
            token = stack.connect_token(user, ttl=600)
            with ExitStack() as others:
                for _ in range(Limits().connections_per_user):
                    others.enter_context(connect(f"{stack.ws}/ws?token={token}"))
                listener = listening(tab, stack, room, token=token)
                (problem,) = listener.wait_for("problem", 1)
                assert (problem["code"], problem["temporary"]) == ("rate_limited", True)
                assert listener.error_states()[-1] == 0
            listener.page.wait_for_function("opened >= 2", timeout=45_000)
            listener.wait_for("subscribed", 1)
            stack.publish(room, "at last")
            assert listener.wait_for("message", 1)[0]["data"] == "at last"
            assert 2 not in listener.error_states()
    finally:
        stack.up("gateway-2")


def test_what_can_never_be_is_told_once_and_ends_an_event_source(
    stack: Stack, browser: Browser
) -> None:
    with Tab(browser, f"{stack.url}/healthz") as tab:
        listener = listening(tab, stack, "nowhere:x")
        listener.page.wait_for_function("source.readyState === 2", timeout=40_000)
        (problem,) = listener.heard("problem")
        assert problem["code"] == "unknown_namespace"
