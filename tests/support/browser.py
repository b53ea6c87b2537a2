"""A real Chromium and its tabs, each in a profile of its own, with everything that it complains about written down."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from tests.support.waiting import wait_until

expect.set_options(timeout=30_000)  # not five seconds: a browser beside other tests may be slow

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def installed() -> str:
    """The path of Chromium. Raises FileNotFoundError saying what to install."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise FileNotFoundError("chromium is not installed (Debian: chromium)")
    return path


@contextmanager
def chromium(**options: Any) -> Iterator[Browser]:
    """A headless Chromium, launched with these options too. Raises FileNotFoundError saying what to install."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=installed(), args=list(FLAGS), **options
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def window(browser: Browser, profile: Path) -> Iterator[BrowserContext]:
    """A window of Chromium as users have it: only the tab in front is seen, and the others are slowed down.

    Those of `chromium()` all count as seen and focused: Playwright says so to each. `browser` is any of its: of that Playwright; `profile` an empty folder.
    """
    port = profile / "DevToolsActivePort"
    asked = ("--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}")
    command = [installed(), *FLAGS, *asked, "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: port.exists() and port.read_text(), timeout=60)
            url = f"http://127.0.0.1:{port.read_text().split()[0]}"
            connected = browser.browser_type.connect_over_cdp(url, no_defaults=True)
            yield connected.contexts[0]
            connected.close()
        finally:
            process.kill()


class Tab:
    """One page in a profile of its own. `errors`: its console errors, warnings and uncaught exceptions."""

    def __init__(self, browser: Browser, url: str | None = None, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.errors: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        # A new page is empty and may reach this machine; one that went to about:blank counts as coming from the
        # internet, and Chromium keeps it away from private addresses.
        if url is not None:
            self.page.goto(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def screenshot(self, path: Path) -> None:
        """Write what the tab shows as a picture."""
        self.page.screenshot(path=path, animations="disabled")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)
