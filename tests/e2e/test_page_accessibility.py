"""The page for everybody: axe finds nothing in any size or scheme, and the keyboard reaches what breaks and mends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.support import axe
from tests.support.browser import chromium
from tests.support.stack import Stack
from tests.support.visitors import AWAY, Visits

pytestmark = [pytest.mark.browser, pytest.mark.clients]

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "is_mobile": True,
    "has_touch": True,
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What `make run` starts: everything that the page has is there."""
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_desktop_axe_finds_nothing(visit: Visits, scheme: str) -> None:
    ada = visit.welcome(color_scheme=scheme, **DESKTOP)
    assert axe.violations(ada.page) == []
    ada.join(f"ada-{visit.room}")
    press = ada.page.get_by_role("button")
    press.filter(has_text="Have a bot join").click()
    press.filter(has_text="Start 200 messages a second").click()
    press.filter(has_text="Send one for me").click()
    expect(ada.page.locator("#people li[data-user^=bot-]")).to_be_visible()
    ada.say("hello")
    expect(ada.page.locator("#messages")).to_contain_text("I read that on", timeout=AWAY)
    expect(ada.page.locator("#chart-said")).to_contain_text("messages a second", timeout=AWAY)
    expect(ada.page.locator(".pointer")).to_be_attached()
    assert axe.violations(ada.page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_telephone_axe_finds_nothing(visit: Visits, scheme: str) -> None:
    ada = visit.welcome(color_scheme=scheme, **PHONE)
    assert axe.violations(ada.page) == []
    ada.join(f"ada-{visit.room}")
    ada.say("hello")
    ada.expect_said("hello")
    assert axe.violations(ada.page) == []
    for panel in ("People", "Notifications"):
        ada.page.get_by_role("button", name=panel).click()
        assert axe.violations(ada.page) == []
    assert ada.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_with_the_keyboard_alone_one_breaks_a_line_and_copies_code(visit: Visits) -> None:
    ada = visit.join("ada", permissions=["clipboard-read", "clipboard-write"])
    page = ada.page

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.locator(f"{selector}:focus").count():
                return
        raise AssertionError(f"Tab never comes to {selector}")

    tab_to("#break-kill")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="0 lost")).to_contain_text(
        re.compile(r"^Back after"), timeout=AWAY
    )
    tab_to("#code-tabs [aria-selected=true]")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Python")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#code").get_by_role("button", name="Copied")).to_be_visible()
    assert "from openline import Client" in page.evaluate("navigator.clipboard.readText()")
