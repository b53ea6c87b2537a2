"""Two pages that know nothing of Openline chat through `/ws/rooms/{room}` with the browser's own WebSocket."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser

from tests.support.browser import Tab, chromium
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

# All that such a page needs.
CHAT = """
([url, name]) => {
  document.body.innerHTML = `<h1>${name}</h1><pre id="log"></pre>`;
  const log = document.getElementById("log");
  window.heard = [];
  window.socket = new WebSocket(url);
  window.socket.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    window.heard.push(event);
    log.textContent += `${event.type} ${event.from ?? event.user ?? ""} ${event.data?.text ?? ""}\\n`;
  };
  window.socket.onclose = ({ code, reason }) => Object.assign(window, { ended: code, reason });
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


class Person:
    """A tab with a plain WebSocket in it."""

    def __init__(self, tab: Tab, url: str, name: str) -> None:
        self.tab = tab
        self.page = tab.page
        self.page.evaluate(CHAT, [url, name])

    def send(self, frame: str) -> None:
        self.page.evaluate("frame => socket.send(frame)", frame)

    def heard(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.evaluate(
            "kind => heard.filter((event) => event.type === kind)", kind
        )
        return found

    def wait_for(self, kind: str, number: int = 1) -> list[dict[str, Any]]:
        self.page.wait_for_function(
            "([kind, n]) => heard.filter((event) => event.type === kind).length >= n",
            arg=[kind, number],
        )
        return self.heard(kind)


def notify(stack: Stack, topic: str, **fields: str) -> int:
    """Send a notification; how many connections it was sent to."""
    answer = httpx2.post(f"{stack.url}/notify/{topic}", data=fields, headers=stack.bearer())
    assert answer.status_code == 200, answer.text
    sent: int = answer.json()["sent"]
    return sent


def texts(messages: list[dict[str, Any]]) -> list[Any]:
    return [message["data"].get("text") for message in messages]


def test_two_plain_pages_share_a_room(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    room = secrets.token_hex(6)
    address = f"{stack.ws}/ws/rooms/{room}?token="
    with ExitStack() as tabs:
        alice = Person(tabs.enter_context(Tab(browser)), address + stack.user_token(), "alice")
        (connected,) = alice.wait_for("connected")
        bob = Person(tabs.enter_context(Tab(browser)), address + stack.user_token("bob"), "bob")
        bob.wait_for("connected")

        assert connected["user"] == "alice"
        assert connected["count"] == 1
        assert [event["user"] for event in alice.wait_for("join")] == ["bob"]

        alice.send('{"text": "hello"}')
        bob.send("no JSON at all")
        bob.send('{"anything": [1, 2]}')
        for person in (alice, bob):
            messages = person.wait_for("message", 3)
            by_sender = {
                name: [m["data"] for m in messages if m["from"] == name]
                for name in ("alice", "bob")
            }
            assert by_sender == {
                "alice": [{"text": "hello"}],
                "bob": [{"text": "no JSON at all"}, {"anything": [1, 2]}],
            }
            assert [m["offset"] for m in messages] == [1, 2, 3]
            assert not any("channel" in m for m in messages)

        bob.send('{"type": "typing"}')
        assert alice.wait_for("typing")[0]["user"] == "bob"
        for person in (alice, bob):
            person.tab.screenshot(tmp_path / f"{person.page.inner_text('h1')}.png")

        bob.page.evaluate("socket.close(1000)")
        assert [event["user"] for event in alice.wait_for("leave")] == ["bob"]
        assert not alice.tab.errors + bob.tab.errors


def test_a_page_that_returns_with_its_position_gets_what_it_missed(
    stack: Stack, browser: Browser
) -> None:
    room = secrets.token_hex(6)
    token = stack.user_token()
    address = f"{stack.ws}/ws/rooms/{room}?token={token}"
    stack.publish(f"room:{room}", {"text": "seen"})
    with Tab(browser) as tab:
        person = Person(tab, address + "&last=1", "alice")
        (seen,) = person.wait_for("message")
        (connected,) = person.heard("connected")
        person.page.evaluate("socket.close()")
        for n in range(20):
            stack.publish(f"room:{room}", {"text": f"missed {n}"})

        person = Person(tab, f"{address}&since={connected['epoch']}:{seen['offset']}", "alice")
        assert person.wait_for("connected")[0]["recovered"] is True
        assert texts(person.wait_for("message", 20)) == [f"missed {n}" for n in range(20)]


def test_a_page_hears_notifications_as_they_were_published(stack: Stack, browser: Browser) -> None:
    topic = secrets.token_hex(6)
    with Tab(browser) as tab:
        person = Person(tab, f"{stack.ws}/ws/notify/{topic}?token={stack.user_token()}", "alice")
        # The route greets nobody: the page is there when somebody is counted.
        wait_until(lambda: notify(stack, topic, title="Build", level="success"))
        (first, *_) = person.wait_for("notification")
        assert first["title"] == "Build"
        assert first["level"] == "success"
        assert first["timestamp"]


def test_a_page_with_a_bad_token_is_refused_before_the_upgrade(
    stack: Stack, browser: Browser
) -> None:
    with Tab(browser) as tab:
        person = Person(tab, f"{stack.ws}/ws/rooms/lobby?token=wrong", "nobody")
        person.page.wait_for_function("window.ended")
        assert person.page.evaluate("window.ended") == 1006


REFUSED = """
([url, offered]) => new Promise((resolve) => {
  const socket = new WebSocket(url, offered);
  socket.onclose = ({ code, reason }) => resolve([code, reason, socket.protocol]);
})
"""


@pytest.mark.parametrize(
    ("path", "offered", "right"),
    [
        ("/ws/rooms/a%20b", [], "characters of A-Z"),
        ("/ws/rooms/a%20b", ["other.v9"], "openline.json.v1"),
        ("/ws/rooms/lobby?last=many", [], "last is a number"),
        ("/ws", ["other.v9"], "openline.msgpack.v1"),
        ("/ws/lobby", [], "/ws/rooms/{room}"),
        ("/rooms/lobby", [], "/ws/rooms/{room}"),
    ],
)
def test_a_page_reads_why_it_is_refused(
    stack: Stack, browser: Browser, path: str, offered: list[str], right: str
) -> None:
    with Tab(browser) as tab:
        for base in (stack.ws, stack.gateways_ws[0]):
            code, reason, protocol = tab.page.evaluate(REFUSED, [base + path, offered])
            assert (code, protocol) == (4000, "".join(offered))
            assert right in reason


def test_a_page_may_offer_the_subprotocol_of_json_to_a_room(stack: Stack, browser: Browser) -> None:
    with Tab(browser) as tab:
        agreed = tab.page.evaluate(
            """(url) => new Promise((resolve) => {
              const socket = new WebSocket(url, ["openline.json.v1"]);
              socket.onmessage = ({ data }) => resolve([socket.protocol, JSON.parse(data).type]);
              socket.onclose = ({ code }) => resolve([code, ""]);
            })""",
            f"{stack.ws}/ws/rooms/lobby?token={stack.user_token()}",
        )
        assert agreed == ["openline.json.v1", "connected"]
