"""docs/guides/llm-answers.md, run as it stands: through a killed gateway, a late reader and the stop button."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from deploy.local.ports import free_port
from openline import Client
from tests.support.documents import blocks
from tests.support.stack import ROOT, Stack

pytestmark = [pytest.mark.clients, pytest.mark.server]

PAGE = "docs/guides/llm-answers.md"
WORDS = [f"word{number} " for number in range(400)]


def block(language: str) -> str:
    (found,) = [each for each in blocks(PAGE) if each.language == language]
    return found.code


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("llm")
    shipped = (ROOT / "deploy/namespaces.toml").read_text("utf-8")
    (folder / "namespaces.toml").write_text(f"{shipped}\n{block('toml')}", encoding="utf-8")
    with Stack(folder, OPENLINE_NAMESPACES=str(folder / "namespaces.toml")) as running:
        yield running


@pytest.fixture
async def backend(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The page's application, served; its model says WORDS in some three seconds, and never ends when asked for ever."""
    client = stack.run["clients"][0]
    monkeypatch.setenv("OPENLINE_URL", stack.url)
    monkeypatch.setenv("OPENLINE_CLIENT_ID", client["client_id"])
    monkeypatch.setenv("OPENLINE_CLIENT_SECRET", client["client_secret"])
    module = types.ModuleType("llm_answers")
    monkeypatch.setitem(sys.modules, "llm_answers", module)
    exec(compile(block("python"), PAGE, "exec"), vars(module))

    async def model(question: str) -> AsyncIterator[str]:
        for word in itertools.cycle(WORDS) if question == "for ever?" else WORDS:
            yield word
            await asyncio.sleep(0.008)

    vars(module)["model"] = model
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(vars(module)["app"], host="127.0.0.1", port=port, log_level="warning")
    )
    serving = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


async def answer_of(
    stack: Stack,
    api: httpx2.AsyncClient,
    channel: str,
    *,
    after: int = 0,
    begun: asyncio.Event | None = None,
) -> Any:
    """What a reader gets until the end, and how it ended; `begun` is set by the first piece.

    Its gateway is killed `after` so many pieces.
    """

    async def token(_reason: str) -> str:
        answer = await api.post("/realtime-token")
        return str(answer.json()["token"])

    text: list[str] = []
    async with (
        Client(stack.url, token=token, proxy=None, strict=True) as client,
        client.channel(channel, last=1000) as answer,
    ):
        async for message in answer:
            if "end" in message.data:
                return "".join(text), message.data["end"]
            text.append(message.data["text"])
            if begun is not None:
                begun.set()
            if after and len(text) == after:
                assert client.connection is not None
                await asyncio.to_thread(stack.kill, client.connection.node)
    raise AssertionError("it never ended")


async def test_an_answer_comes_whole_through_a_killed_gateway_and_to_a_late_reader(stack, backend):
    async with httpx2.AsyncClient(base_url=backend, timeout=30) as api:
        channel = (await api.post("/questions", json={"text": "why?"})).json()["channel"]
        through = await answer_of(stack, api, channel, after=5)
        late = await answer_of(stack, api, channel)
    assert through == late == ("".join(WORDS), "done")


async def test_the_stop_button_ends_the_answer_for_everybody(stack, backend):
    async with httpx2.AsyncClient(base_url=backend, timeout=30) as api:
        channel = (await api.post("/questions", json={"text": "for ever?"})).json()["channel"]
        begun = asyncio.Event()
        reading = asyncio.ensure_future(answer_of(stack, api, channel, begun=begun))
        await asyncio.wait_for(begun.wait(), 60)
        await api.post(f"/stop/{channel}")
        text, end = await reading
    assert end == "stopped"
    assert "".join(itertools.islice(itertools.cycle(WORDS), text.count(" "))) == text != ""


async def test_the_page_of_the_guide_shows_the_answer(stack, backend, tmp_path: Path):
    """In Node, with what the page has of the browser: fetch at its own address, an element to write into."""
    (tmp_path / "node_modules/@openline").mkdir(parents=True)
    (tmp_path / "node_modules/@openline/client").symlink_to(ROOT / "clients/js")
    (tmp_path / "page.mjs").write_text(block("js"), encoding="utf-8")
    (tmp_path / "main.mjs").write_text(
        """
        const [back, front, channel] = process.argv.slice(2);
        const fetched = globalThis.fetch;
        globalThis.fetch = (path, options) => fetched(String(path).startsWith("/") ? back + path : path, options);
        globalThis.location = new URL(front);
        const { show } = await import("./page.mjs");
        let text = "";
        show(channel, { append: (piece) => { text += piece; } });
        const wanted = Number(process.argv[5]);
        while (text.length < wanted) await new Promise((done) => setTimeout(done, 50));
        console.log(text);
        process.exit(0);
        """,
        encoding="utf-8",
    )
    async with httpx2.AsyncClient(base_url=backend, timeout=30) as api:
        channel = (await api.post("/questions", json={"text": "why?"})).json()["channel"]
    whole = "".join(WORDS)
    node = str(Path(sys.executable).parent / "node")
    process = await asyncio.create_subprocess_exec(
        node, "main.mjs", backend, stack.url, channel, str(len(whole)),
        cwd=tmp_path, env=os.environ, stdout=subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await asyncio.wait_for(process.communicate(), 60)
    assert printed.decode().strip() == whole.strip()
