"""A user's page in React, from the packed package, in Chromium: what happens to tabs, networks and tokens costs it nothing."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.browser import chromium, window
from tests.support.http_only import http_only
from tests.support.packed import install, tool, use_packages
from tests.support.page_server import PageServer, page_server
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.clients, pytest.mark.browser, pytest.mark.timeout(180)]

# Playwright's own turn these off, which users' browsers have.
AS_USERS_HAVE_IT = (
    "--disable-back-forward-cache",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)

TTL = 6  # seconds of a token that ends while its tab sleeps


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page built for development, which mounts twice where it is told to, and for production."""
    app = install(tmp_path_factory.mktemp("sources") / "js", tmp_path_factory.mktemp("app"))
    (app / "app.tsx").write_text(Path(__file__).with_name("app.tsx").read_text("utf-8"), "utf-8")
    for mode in ("development", "production"):
        options = f"--bundle --splitting --format=esm --jsx=automatic --outdir={mode}"
        tool(
            "esbuild",
            "app.tsx",
            *options.split(),
            f'--define:process.env.NODE_ENV="{mode}"',
            folder=app,
        )
        html = '<!doctype html><meta charset="utf-8"><body></body><script type="module" src="app.js"></script>'
        (app / mode / "index.html").write_text(html, "utf-8")
    (app / "elsewhere.html").write_text("<!doctype html><title>elsewhere</title>", "utf-8")
    return app


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same page with React 18, built by Vite as it builds for development."""
    sources = tmp_path_factory.mktemp("older-sources") / "js"
    app = tmp_path_factory.mktemp("older") / "app"
    app.mkdir()
    install(sources, app)
    use_packages(Path(__file__).with_name("react18"), app)
    (app / "app.tsx").write_text(Path(__file__).with_name("app.tsx").read_text("utf-8"), "utf-8")
    html = '<!doctype html><meta charset="utf-8"><body></body><script type="module" src="/app.tsx"></script>'
    (app / "index.html").write_text(html, "utf-8")
    (app / ".env.development").write_text("NODE_ENV=development\n", "utf-8")
    options = "build --mode development --base ./ --outDir development --logLevel error"
    tool("vite", *options.split(), folder=app)
    return app


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system that asks for a sign of life after two seconds, and waits for it no longer than a slow machine needs."""
    settings = {"OPENLINE_PING_SECONDS": "2", "OPENLINE_PONG_SECONDS": "6"}
    with Stack(tmp_path_factory.mktemp("quick"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(ignore_default_args=list(AS_USERS_HAVE_IT)) as running:
        yield running


class Visit:
    """Somebody's look at the page. `sent`: the commands that went over its WebSockets; `lines`: how many there were."""

    def __init__(self, page: Page, site: PageServer, stack: Stack, channel: str) -> None:
        self.page = page
        self.site = site
        self.stack = stack
        self.channel = channel
        self.sent: list[str] = []
        self.lines = 0
        self.published = 0
        page.set_default_timeout(30_000)
        page.on("websocket", self._opened)

    def go(self, mode: str = "production", url: str | None = None, **asked: str) -> None:
        """Open the page and wait until it is live."""
        query = urlencode({"url": url or self.stack.url, "channel": self.channel, **asked})
        self.page.goto(f"{self.site.url}/{mode}/index.html?{query}")
        self.page.wait_for_function(
            "(name) => client.channel(name).state === 'live'", arg=self.channel
        )
        wait_until(lambda: listeners(self) == 1, timeout=60)  # is told to the store a little later

    def publish(self, number: int = 10) -> None:
        for _ in range(number):
            self.stack.publish(self.channel, self.published)
            self.published += 1

    def hears_all(self) -> None:
        """Wait for the last message: each came once and in order, and no loss was told."""
        self.page.wait_for_function("(last) => seen.heard.at(-1) === last", arg=self.published - 1)
        assert self.seen("heard") == list(range(self.published))
        assert self.seen("lost") == 0

    def wait_sent(self, command: str, number: int) -> None:
        """Wait until a command has been sent so often."""

        def sent() -> bool:
            self.page.wait_for_timeout(100)  # Playwright tells of frames while it is asked
            return self.sent.count(command) >= number

        wait_until(sent, timeout=60)

    def seen(self, what: str) -> Any:
        return self.page.evaluate("(what) => seen[what]", what)

    @property
    def connection(self) -> str:
        found: str = self.page.evaluate("() => client.connection.connection")
        return found

    def _opened(self, line: Any) -> None:
        self.lines += 1
        line.on("framesent", lambda frame: self.sent.append(json.loads(frame)["type"]))


@contextmanager
def visit(browser: Browser, site: Path, stack: Stack, **token: Any) -> Iterator[Visit]:
    """Somebody with a browser profile of their own."""
    with browser.new_context() as context, visit_in(context, site, stack, **token) as one:
        yield one


@contextmanager
def visit_in(context: BrowserContext, site: Path, stack: Stack, **token: Any) -> Iterator[Visit]:
    user = f"user-{secrets.token_hex(4)}"
    with page_server(site, lambda: stack.connect_token(user, **token)) as server:
        yield Visit(context.new_page(), server, stack, f"room:{secrets.token_hex(6)}")


@pytest.mark.parametrize(
    ("built", "version"),
    [("site", "19."), ("older", "18.")],
    ids=["React 19, esbuild", "React 18, Vite"],
)
def test_components_that_mount_twice_send_nothing_more(
    browser: Browser, built: str, version: str, stack: Stack, request: pytest.FixtureRequest
) -> None:
    site: Path = request.getfixturevalue(built)
    sent = {}
    for strict in ({}, {"strict": "1"}):
        with visit(browser, site, stack) as once:
            once.go("development", **strict)
            once.page.get_by_text("online 1 here").wait_for()
            assert once.page.evaluate("version").startswith(version)
            once.publish()
            once.hears_all()
            sent[bool(strict)] = once.sent
            assert once.lines == 1
    assert sent[True] == sent[False] == ["auth", "subscribe", "presence"]


def test_a_thousand_mounts_leave_no_listener_and_no_memory(
    browser: Browser, site: Path, stack: Stack
) -> None:
    mounts = "(n) => { for (; n; n--) { show(false); show(); } }"
    with visit(browser, site, stack) as one:
        one.go()
        page = one.page
        tools = page.context.new_cdp_session(page)

        def held() -> tuple[int, int]:
            for _ in range(3):
                tools.send("HeapProfiler.collectGarbage")
            listeners = tools.send("Memory.getDOMCounters")["jsEventListeners"]
            return listeners, tools.send("Runtime.getHeapUsage")["usedSize"]

        page.evaluate(mounts, 1000)  # compiled, and warm
        one.publish()
        one.hears_all()
        listeners, heap = held()
        # The collector does not tell all that is free at once; what leaks is there in each round.
        for _ in range(4):
            before = heap
            page.evaluate(mounts, 1000)
            more, heap = held()
            assert more == listeners
            if heap - before < 100_000:
                break
        assert heap - before < 100_000
        assert one.sent.count("subscribe") == 1
        assert "unsubscribe" not in one.sent


@pytest.fixture
def tabs(browser: Browser, tmp_path: Path) -> Iterator[BrowserContext]:
    with window(browser, tmp_path) as found:
        yield found


def test_a_hidden_tab_keeps_its_line(tabs: BrowserContext, site: Path, quick: Stack) -> None:
    with visit_in(tabs, site, quick) as one:
        one.go()
        with hidden(one):
            one.publish(5)
            pongs = one.sent.count("pong")
            one.wait_sent("pong", pongs + 3)  # so often the line had been silent for too long
            one.publish(5)
        one.hears_all()
        assert one.lines == 1


def test_a_frozen_tab_that_lost_its_line_hears_what_it_missed(
    tabs: BrowserContext, site: Path, quick: Stack
) -> None:
    with visit_in(tabs, site, quick) as one:
        one.go()
        one.publish()
        one.hears_all()
        with hidden(one), frozen(one):
            wait_until(lambda: listeners(one) == 0, timeout=60)
            one.publish(50)
        one.hears_all()
        assert one.lines == 2
        assert {"freeze", "resume"} <= set(one.seen("events"))


def test_a_token_that_ends_while_the_tab_sleeps_is_asked_for_anew_once(
    tabs: BrowserContext, site: Path, quick: Stack
) -> None:
    with visit_in(tabs, site, quick, ttl=TTL) as one:
        one.go()
        one.publish()
        one.hears_all()
        with hidden(one), frozen(one):
            wait_until(lambda: listeners(one) == 0, timeout=60)
            wait_until(lambda: time.monotonic() > one.site.minted[-1] + TTL, timeout=60)
            one.publish(20)
        one.hears_all()
        assert one.seen("reasons").count("expired") == 1
        assert len(one.seen("reasons")) == len(one.site.minted)


def test_a_tab_without_a_network_waits_and_hears_what_it_missed(
    browser: Browser, site: Path, quick: Stack
) -> None:
    with visit(browser, site, quick) as one:
        one.go()
        one.publish()
        one.hears_all()
        one.page.context.set_offline(True)
        one.page.wait_for_function("() => client.state !== 'online'")
        one.publish(50)
        one.page.context.set_offline(False)
        one.hears_all()


def test_a_page_out_of_the_back_forward_cache_hears_what_it_missed(
    browser: Browser, site: Path, stack: Stack
) -> None:
    with visit(browser, site, stack) as one:
        one.go()
        one.publish()
        one.hears_all()
        one.page.evaluate("(url) => { location.href = url; }", f"{one.site.url}/elsewhere.html")
        wait_until(lambda: listeners(one) == 0, timeout=60)
        one.publish(50)
        one.page.evaluate("() => history.back()")
        one.hears_all()
        assert one.seen("events").count("restored") == 1


def test_where_websocket_is_blocked_the_page_is_live_over_http(
    browser: Browser, site: Path, stack: Stack
) -> None:
    port = int(stack.url.rpartition(":")[2])
    with visit(browser, site, stack) as one, http_only(port) as way:
        one.go(url=way.url)
        one.publish()
        one.hears_all()
        assert one.page.evaluate("() => client.connection.transport") == "stream"
        assert way.refused == 2
        published = one.page.evaluate("(name) => client.channel(name).publish(10)", one.channel)
        assert published["offset"] == 11


def listeners(one: Visit) -> int:
    """How many the store counts now."""
    answer = httpx2.get(
        f"{one.stack.url}/v1/channels?prefix={one.channel}", headers=one.stack.bearer()
    )
    return sum(int(entry["subscribers"]) for entry in answer.json()["channels"])


@contextmanager
def hidden(one: Visit) -> Iterator[None]:
    """Another tab is in front."""
    other = one.page.context.new_page()
    other.bring_to_front()
    one.page.wait_for_function("() => document.visibilityState === 'hidden'", polling=100)
    yield
    other.close()
    one.page.bring_to_front()


@contextmanager
def frozen(one: Visit) -> Iterator[None]:
    """Chromium stops the page's tasks, as it does with tabs that were hidden for long, and on phones."""
    tools = one.page.context.new_cdp_session(one.page)
    tools.send("Page.setWebLifecycleState", {"state": "frozen"})
    yield
    tools.send("Page.setWebLifecycleState", {"state": "active"})
