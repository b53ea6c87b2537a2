"""People at the page `/`: each in a tab of a real Chromium, in a room and with a name of their own."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from typing import Any

from playwright.sync_api import Browser, expect

from tests.support.browser import Tab
from tests.support.stack import Stack

AWAY = 60_000
"""Milliseconds in which a page must be back."""

VIEW = {"width": 1280, "height": 800}


class Visits:
    """Opens the page in tabs; each room and name is new."""

    def __init__(self, stack: Stack, browser: Browser, tabs: ExitStack) -> None:
        self.stack = stack
        self.room = secrets.token_hex(6)
        self._browser = browser
        self._tabs = tabs

    def welcome(self, **context: Any) -> Visitor:
        """A tab that shows the page to a newcomer who followed a link to the room."""
        url = f"{self.stack.url}/#room={self.room}"
        return Visitor(
            self._tabs.enter_context(Tab(self._browser, url, **{"viewport": VIEW, **context}))
        )

    def join(self, name: str, **context: Any) -> Visitor:
        """A tab in which somebody chose a name like `name` and joined the room."""
        visitor = self.welcome(**context)
        visitor.join(f"{name}-{secrets.token_hex(3)}")
        return visitor


class Visitor:
    """Somebody at a tab."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.page = tab.page
        self.name = ""

    def join(self, name: str) -> None:
        self.name = name
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_role("button", name="Join the room").click()
        self.expect_state("Connected")

    def say(self, text: str) -> None:
        box = self.page.get_by_role("textbox", name="Message")
        box.fill(text)
        box.press("Enter")

    def expect_state(self, state: str, timeout: float = 30_000) -> None:
        expect(self.page.locator("#state")).to_have_text(state, timeout=timeout)

    def expect_said(self, *texts: str, timeout: float = 30_000) -> None:
        """Exactly these, in this order, none of them still on its way."""
        said = self.page.locator("#messages .bubble")
        expect(said).to_have_text(list(texts), timeout=timeout)
        expect(self.page.locator("#pending li")).to_have_count(0)

    def expect_people(self, *names: str) -> None:
        people = self.page.locator("#people li")
        expect(people).to_have_count(len(names))
        for name in names:
            expect(self.page.locator(f'#people li[data-user="{name}"]')).to_have_count(1)

    def offsets(self) -> list[int]:
        rows = self.page.locator("#messages .message").all()
        return [int(row.get_attribute("data-offset") or 0) for row in rows]

    def gateway(self) -> str:
        return self.page.locator("#fact-node").text_content() or ""

    def toast(self, title: str) -> Any:
        return self.page.locator("#toasts li").filter(has_text=title)
