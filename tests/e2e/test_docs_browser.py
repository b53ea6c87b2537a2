"""The examples of README.md and the docs that are written for a browser, run in one."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Tab, chromium
from tests.support.documents import Block, Follower, example, following
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

CLIENTS, TUTORIALS = "docs/clients.md", "docs/from-the-tutorials.md"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def reader(stack: Stack, tmp_path: Path) -> Iterator[Follower]:
    """Somebody who follows the page on the shared system."""
    with following(stack, tmp_path) as follower:
        yield follower


class Console:
    """A tab on the front door's page that runs an example; `lines` is what it has written to the console so far."""

    def __init__(self, tab: Tab, code: str, token: str) -> None:
        self._page = tab.page
        self._lines: list[str] = []
        tab.page.on("console", lambda message: self._lines.append(message.text))
        tab.page.evaluate(f"(token) => {{ {code} }}", token)

    @property
    def lines(self) -> list[str]:
        self._page.wait_for_timeout(50)  # lets the events in
        return list(self._lines)

    def says(self, text: str) -> bool:
        return any(text in line for line in self.lines)


@contextmanager
def console(
    browser: Browser, reader: Follower, *examples: Block, token: str | None = None
) -> Iterator[Console]:
    code = "\n".join(map(reader.code, examples))
    with Tab(browser, reader.stack.url) as tab:
        yield Console(tab, code, token or reader.stack.user_token())


def publish_until(reader: Follower, data: Any, heard: Callable[[], bool]) -> None:
    """Publish in the room until somebody who is about to subscribe has heard it."""

    def again() -> bool:
        reader.stack.publish(f"room:{reader.room}", data)
        return heard()

    wait_until(again)


def test_the_readme_listens_in_a_browser(reader: Follower, browser: Browser) -> None:
    (listen,) = example("README.md", "First message", 2)
    with console(browser, reader, listen) as page:
        publish_until(reader, "seen", lambda: page.says("seen"))


def test_an_event_source_outlives_its_tokens_by_three_lines(
    reader: Follower, browser: Browser
) -> None:
    (listen,) = example(CLIENTS, "EventSource", 0)
    lives = [
        1,
        6,
        600,
    ]  # the first has ended before it is used, the second ends while the stream is open
    tokens = json.dumps([reader.stack.connect_token("alice", ttl=life) for life in lives])
    wait_until(lambda: is_over(json.loads(tokens)[0]))
    minting = f"const tokens = {tokens}; const newToken = async () => tokens.shift();"
    with Tab(browser, reader.stack.url) as tab:
        lines: list[str] = []
        tab.page.on("console", lambda message: lines.append(message.text))
        tab.page.evaluate(f"() => {{ {minting} window.left = tokens; {reader.code(listen)} }}")
        said = 0
        while tab.page.evaluate("left.length"):
            reader.stack.publish(f"room:{reader.room}", f"number {said}")
            said += 1
            tab.page.wait_for_timeout(100)
        reader.stack.publish(f"room:{reader.room}", "the end")
        deadline = time.monotonic() + 60
        while "the end" not in lines and time.monotonic() < deadline:
            tab.page.wait_for_timeout(100)
    assert "the end" in lines
    heard = [int(line.split()[1]) for line in lines if line.startswith("number")]
    assert heard == list(range(heard[0], said)), "something was missed between two streams"


def is_over(token: str) -> bool:
    """Whether a token has ended."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return bool(claims["exp"] < time.time())


def test_the_event_source_of_the_tutorials_page(reader: Follower, browser: Browser) -> None:
    (listen,) = example(TUTORIALS, "Server-Sent Events", 1)
    with console(browser, reader, listen) as page:
        publish_until(reader, "streamed", lambda: page.says("streamed"))
