"""Measure the CPU that a received message costs the client: python clients/python/benchmarks/receive.py [--messages N]

A server in a process of its own sends messages of about 250 bytes, as the gateway writes them: `bursts` of 50 in one
write, `singles` one by one, each in a segment and a read of its own. Counted is the CPU time of this process, all of
it: loop, socket, frames, JSON, positions, the application's `async for`. `bare` is a loop of `recv` and `json.loads` in
the client's place: what no client can save. Rounds of the kinds take turns; the median counts.
"""

# ruff: noqa: INP001 - a script
from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import product
from multiprocessing.connection import Connection
from typing import Any

import uvloop
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from openline import Client
from openline.line import READ_AHEAD

CHANNEL = "room:bench"
ROUNDS = int(os.environ.get("ROUNDS", "5"))
Factory = Callable[[], asyncio.AbstractEventLoop]
LOOPS: dict[str, Factory] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def frames(count: int) -> Iterator[bytes]:
    """Messages as they travel."""
    for offset in range(1, count + 1):
        message = {
            "type": "message",
            "channel": CHANNEL,
            "data": {"text": "x" * 100, "n": offset, "tags": ["a", "b"]},
            "offset": offset,
            "from": "alice",
            "ts": 1_700_000_000_000 + offset,
            "key": f"{offset:032x}",
        }
        body = json.dumps(message, separators=(",", ":")).encode()
        yield b"\x81\x7e" + len(body).to_bytes(2, "big") + body


def server(pipe: Connection, *, count: int, at_once: int) -> None:
    """Serve one client after another, until the process is ended."""

    async def talk(socket: ServerConnection) -> None:
        async for text in socket:
            command = json.loads(text)
            head = {"type": "ack", "id": command.get("id")}
            if command["type"] == "auth":
                connected: dict[str, Any] = {
                    "connection": "c",
                    "user": "bob",
                    "node": "n",
                    "expires": None,
                }
                connected |= {"type": "connected", "ping": 25, "channels": {}}
                await socket.send(json.dumps(connected))
                await socket.send(json.dumps({**head, "user": "bob", "expires": None}))
            elif command["type"] == "subscribe":
                await socket.send(
                    json.dumps({**head, "channel": CHANNEL, "epoch": "e", "offset": 0})
                )
                await send(socket)

    async def send(socket: ServerConnection) -> None:
        waiting: list[bytes] = []
        for frame in frames(count):
            waiting.append(frame)
            if len(waiting) == at_once:
                socket.transport.write(b"".join(waiting))
                waiting.clear()
                await socket.drain()
                await asyncio.sleep(0.0004 if at_once == 1 else 0.002)

    async def main() -> None:
        async with serve(talk, "127.0.0.1", 0, compression=None) as listening:
            pipe.send(listening.sockets[0].getsockname()[1])
            await asyncio.Event().wait()

    asyncio.run(main())


async def receive(port: int, count: int) -> float:
    """CPU seconds that `count` messages took."""
    async with (
        Client(f"http://127.0.0.1:{port}", token="t", proxy=None) as client,  # noqa: S106
        client.channel(CHANNEL) as channel,
    ):
        before, left = time.process_time(), count
        async for _message in channel:
            left -= 1
            if not left:
                return time.process_time() - before
    raise AssertionError("the server ended early")


async def receive_bare(port: int, count: int) -> float:
    """The same without the client."""
    url = f"ws://127.0.0.1:{port}/ws"
    async with connect(url, compression=None, proxy=None, max_queue=READ_AHEAD) as socket:
        await socket.send('{"type":"subscribe","id":1}')
        await socket.recv()
        before = time.process_time()
        for _ in range(count):
            json.loads(await socket.recv())
        return time.process_time() - before


RECEIVERS: dict[str, Callable[[int, int], Awaitable[float]]] = {
    "client": receive,
    "bare": receive_bare,
}


def main() -> None:
    """Print one line a kind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=5000)
    count = parser.parse_args().messages // 50 * 50
    spawn = multiprocessing.get_context("spawn")
    found: dict[str, list[float]] = {}
    processes = []
    ports = {}
    for kind, at_once in (("bursts", 50), ("singles", 1)):
        here, there = spawn.Pipe()
        process = spawn.Process(
            target=server, args=(there,), kwargs={"count": count, "at_once": at_once}
        )
        process.start()
        processes.append(process)
        ports[kind] = here.recv()
    try:
        for _ in range(ROUNDS):
            for kind, port in ports.items():
                for (loop, factory), (who, run) in product(LOOPS.items(), RECEIVERS.items()):
                    with asyncio.Runner(loop_factory=factory) as runner:
                        seconds = runner.run(run(port, count))
                    found.setdefault(f"{loop} {kind} {who}", []).append(seconds / count * 1e6)
    finally:
        for process in processes:
            process.kill()
            process.join()
    for name, values in found.items():
        print(f"{name:22} {statistics.median(values):5.1f} us a message (least {min(values):.1f})")  # noqa: T201


if __name__ == "__main__":
    main()
