"""nginx is reloaded or told to quit under 60 sockets: all are moved, none is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
import websockets

from deploy.local.ports import free_port
from deploy.local.programs import find_nginx
from tests.support.listener import Listener, listeners
from tests.support.people import People
from tests.support.stack import ROOT, Stack, children
from tests.support.waiting import wait_until

SECONDS = 6
SETTINGS = {"OPENLINE_DRAIN_SECONDS": str(SECONDS)}
LISTENERS, STUBBORN = 50, 10

pytestmark = pytest.mark.slow


async def stubborn(url: str) -> int:
    """A client that knows nothing of `reconnect`; its close code."""
    async with websockets.connect(url) as socket:
        await socket.recv()
        return await until_closed(socket)


async def until_closed(socket: websockets.ClientConnection) -> int:
    try:
        async for _ in socket:
            pass
    except websockets.ConnectionClosed:
        pass
    return socket.close_code or 0


def arrivals(begun: list[float]) -> str:
    """How many came back in each second."""
    first = min(begun)
    counts = Counter(int(at - first) for at in begun)
    return ", ".join(str(counts[second]) for second in range(max(counts) + 1))


async def moved(
    clients: list[Listener], before: list[int], others: list[asyncio.Task[int]]
) -> None:
    """Assert that everybody came back through the new workers and nobody was cut off."""
    begun: dict[int, float] = {}
    async with asyncio.timeout(60):
        while len(begun) < len(clients):
            for number, client in enumerate(clients):
                if client.connections > before[number]:
                    begun.setdefault(number, time.monotonic())
            await asyncio.sleep(0.02)
        codes = await asyncio.gather(*others)
    sys.stdout.write(f"arrivals a second: {arrivals(list(begun.values()))}\n")
    assert set(codes) == {4100}
    assert {code for client in clients for code, _ in client.ends} <= {1001, 4100}
    spread = max(begun.values()) - min(begun.values())
    assert spread > SECONDS / 4, "spread over the time, not all at once"


async def test_a_reload_moves_everybody_before_old_workers_go(stack: Stack, people: People) -> None:
    room = secrets.token_hex(6)
    channel = f"room:{room}"
    plain = people.ws(path=f"/ws/rooms/{room}-plain?token={await people.minted('stubborn')}")
    async with listeners(people, channel, LISTENERS) as clients:
        others = [asyncio.create_task(stubborn(plain)) for _ in range(STUBBORN)]
        await people.counted(channel, LISTENERS + STUBBORN, patience=30)
        before = [client.connections for client in clients]
        old = set(children(stack.pid("nginx")))
        os.kill(stack.pid("nginx"), signal.SIGHUP)
        await moved(clients, before, others)
        await asyncio.to_thread(wait_until, lambda: not old & set(children(stack.pid("nginx"))))
        assert all(client.connections == n + 1 for client, n in zip(clients, before, strict=True))
        await people.publish(channel, "after")
        for client in clients:
            await client.until(lambda client=client: client.data() == ["after"])
            assert client.holes == []


async def test_a_pod_that_is_terminated_moves_everybody_to_the_others(
    stack: Stack, people: People, tmp_path: Path
) -> None:
    room = secrets.token_hex(4)
    with second_nginx(stack, tmp_path) as (url, process):
        tokens = [await people.minted(f"listener-{n}") for n in range(LISTENERS)]
        clients = [
            Listener(url + "/ws", lambda token=token: token, f"room:{room}-{number}")
            for number, token in enumerate(tokens)
        ]
        async with contextlib.AsyncExitStack() as opened:
            for client in clients:
                await opened.enter_async_context(client)
            plain = f"{url}/ws/rooms/{room}-plain?token={await people.minted('stubborn')}"
            others = [asyncio.create_task(stubborn(plain)) for _ in range(STUBBORN)]
            await people.counted(f"room:{room}", LISTENERS + STUBBORN, patience=30)
            before = [client.connections for client in clients]
            for client in clients:
                client.url = people.ws()  # the Service sends nobody to a pod that ends
            process.send_signal(signal.SIGQUIT)
            await moved(clients, before, others)
            assert await asyncio.to_thread(process.wait, 60) == 0


async def test_who_ends_the_run_says_so_to_its_clients(tmp_path: Path) -> None:
    with Stack(tmp_path, OPENLINE_DRAIN_SECONDS="1") as stack:
        async with People(stack.run) as people:
            plain = people.ws(path=f"/ws/rooms/lobby?token={await people.minted('stubborn')}")
            others = [asyncio.create_task(stubborn(plain)) for _ in range(STUBBORN)]
            await people.counted("room:", STUBBORN)
            await asyncio.to_thread(stack.stop)
            assert set(await asyncio.gather(*others)) == {4100}


@contextlib.contextmanager
def second_nginx(stack: Stack, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Another front door of the stack, run as containers run theirs; its URL for WebSockets and its process."""
    first = stack.var / "nginx"
    (folder / "temp").mkdir()
    for file in first.glob("*.conf"):
        shutil.copy(file, folder)
    port, status = free_port(), free_port()
    main = folder / "nginx.conf"
    text = main.read_text("utf-8").replace(f":{stack.url.rpartition(':')[2]} ", f":{port} ")
    text = text.replace(urlsplit(stack.run["nginx_status"]).netloc, f"127.0.0.1:{status}")
    main.write_text(text.replace(str(stack.var / "logs"), str(folder)), "utf-8")
    nginx = [find_nginx(), "-p", f"{folder}/", "-c", str(main), "-e", str(folder / "error.log")]
    gateways = " ".join(["http://127.0.0.1:9", *stack.gateways])  # the first is away
    environment = {
        "PATH": os.environ["PATH"],
        "GATEWAYS": gateways,
        "MOVE_SECONDS": str(SECONDS),
        "ORIGINS_FILE": str(folder / "origins.conf"),
        "LIMITS_FILE": str(folder / "limits.conf"),
    }
    process = subprocess.Popen(
        ["sh", str(ROOT / "nginx" / "serve.sh"), *nginx], env=environment, preexec_fn=hears_quit
    )
    try:
        wait_until(lambda: answers(port))
        yield f"ws://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(60)


def hears_quit() -> None:
    """A shell cannot trap what its parent ignored, and what runs in the background of a script ignores SIGQUIT."""
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def answers(port: int) -> bool:
    """Whether the front door at a port serves."""
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/healthz", timeout=1).is_success
    except httpx2.TransportError:
        return False
