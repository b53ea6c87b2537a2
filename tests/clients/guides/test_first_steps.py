"""docs/start/five-minutes.md and the guides on private channels and on streams, followed on a running system."""

from __future__ import annotations

import functools
import http.server
import json
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from openline import Client, OpenlineError
from tests.support.browser import chromium
from tests.support.documents import Block, Follower, blocks, following
from tests.support.stack import ROOT, Stack

pytestmark = [pytest.mark.clients, pytest.mark.server]

FIRST = "docs/start/five-minutes.md"
PRIVATE = "docs/guides/private-channels.md"


def one(page: str, heading: str, language: str) -> Block:
    (found,) = [block for block in blocks(page, heading) if block.language == language]
    return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system that has the namespace of the guide on private channels, too."""
    folder = tmp_path_factory.mktemp("first-steps")
    shipped = (ROOT / "deploy/namespaces.toml").read_text("utf-8")
    team = one(PRIVATE, "A team's, a document's, an order's", "toml").code
    (folder / "namespaces.toml").write_text(f"{shipped}\n{team}", encoding="utf-8")
    with Stack(folder, OPENLINE_NAMESPACES=str(folder / "namespaces.toml")) as running:
        yield running


@pytest.fixture
def reader(stack: Stack, tmp_path: Path) -> Iterator[Follower]:
    with following(stack, tmp_path) as follower:
        yield follower


def test_the_first_message_goes_from_a_shell_to_a_program(reader: Follower) -> None:
    program = reader.start(one(FIRST, "Python", "python"))
    program.wait_for("alice {'text': 'hi'}")
    answer = json.loads(reader.run(one(FIRST, "A shell", "sh")))
    assert answer["offset"] == 2
    program.wait_for("None {'text': 'hello'}")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder as a page's own server has it, at another origin than the front door."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.mark.browser
def test_the_first_page_of_another_origin_shows_what_is_published(
    reader: Follower, stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(reader.code(one(FIRST, "A page", "html")), encoding="utf-8")
    with chromium() as browser, served(tmp_path) as origin:
        page = browser.new_page()
        page.goto(f"{origin}/page.html#token={stack.user_token('bob')}")
        stack.publish(f"room:{reader.room}", {"text": "hello"})
        expect(page.get_by_text("the back end: hello")).to_be_visible()


async def test_a_private_channel_opens_to_whom_the_token_names_it_until_that_ends(
    reader: Follower, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = stack.run["clients"][0]
    monkeypatch.setenv("OPENLINE_URL", stack.url)
    monkeypatch.setenv("OPENLINE_CLIENT_ID", client["client_id"])
    monkeypatch.setenv("OPENLINE_CLIENT_SECRET", client["client_secret"])
    module = types.ModuleType("private_channels")
    exec(one(PRIVATE, "A team's, a document's, an order's", "python").code, vars(module))
    token = vars(module)["realtime_token"]("alice", [7])
    async with Client(stack.url, token=token, proxy=None) as alice:
        with pytest.raises(OpenlineError) as refused:
            async with alice.channel("team:8"):
                pass
        assert refused.value.code == "forbidden"
        async with alice.channel("team:7") as team, alice.channel("user:alice") as own:
            assert json.loads(reader.run(one(PRIVATE, "One user's own channel", "sh")))["offset"]
            assert (await anext(aiter(own))).data == {"text": "only for you"}
            reader.run(one(PRIVATE, "When somebody leaves the team", "sh"))
            with pytest.raises(OpenlineError) as ended:
                await anext(aiter(team))
            assert ended.value.code == "unsubscribed"


def test_a_stream_begins_with_where_the_channel_stands(reader: Follower) -> None:
    (listen,) = [block for block in blocks("docs/guides/sse-only.md") if block.language == "sh"]
    assert "event: subscribed" in reader.run(listen)
