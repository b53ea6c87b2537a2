"""`python -m loadtest.resync`: many listened channels, then a failover; how soon all are told, and how long others wait.

The store's replication id is changed as a promotion changes it, without an outage: what is measured is what gateways do
after it. Another client publishes over HTTP all the while, in a process of its own, and asks Redis for a sign of life.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio

from loadtest.bench import frames, inbound
from loadtest.bench.openline import Stack
from loadtest.bench.posts import Poster

PREFIX = "public:many-"
"""Begins the names of the channels that are listened to."""

PER_CONNECTION = 1000
"""Channels that a reader listens to."""

RATE = 100
"""Publishes, and signs of life, a second."""

POSTERS = 50
"""Connections that publish: one that waits holds up nobody else."""

PATIENCE = 120.0
WITHIN_SECONDS = 15.0
P99_SECONDS = 0.1

Late = list[tuple[float, float]]
"""When something was begun, by the wall clock, and after how many seconds it was answered."""


class Reader:
    """An anonymous connection that listens to channels. `told` holds the channels that it was told of, `resets` counts."""

    def __init__(self, host: str, port: int, channels: list[str]) -> None:
        self._address = host, port
        self._channels = channels
        self._reading: asyncio.Task[None] | None = None
        self.told: set[str] = set()
        self.joined = self.resets = 0

    async def open(self) -> None:
        """Connect and subscribe."""
        reader, writer = await asyncio.open_connection(*self._address)
        writer.write(frames.request("/ws", f"{self._address[0]}:{self._address[1]}"))
        await reader.readuntil(b"\r\n\r\n")
        self._reading = asyncio.create_task(self._read(reader, writer))
        writer.write(frames.client(frames.TEXT, b'{"type":"auth"}'))
        for number in range(len(self._channels)):
            self._subscribe(writer, number)
            await writer.drain()
        while self.joined < len(self._channels):  # noqa: ASYNC110 - learnt by counting
            await asyncio.sleep(0.05)

    def _subscribe(self, writer: asyncio.StreamWriter, number: int) -> None:
        command = {"type": "subscribe", "id": number, "channel": self._channels[number]}
        writer.write(frames.client(frames.TEXT, json.dumps(command).encode()))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        while more := await reader.read(262_144):
            found, data = frames.split(data + more)
            for opcode, content in found:
                if content.startswith(b'{"type":"reset"'):
                    self._reset(json.loads(content)["channel"])
                elif content.startswith(b'{"type":"ack"'):
                    self.joined += 1
                elif content.startswith(b'{"type":"error"'):  # too many at once
                    self._subscribe(writer, json.loads(content)["id"])
                elif reply := inbound.answer(opcode, content):
                    writer.write(reply)
        _say("a reader was closed")

    def _reset(self, channel: str) -> None:
        if channel.startswith(PREFIX):  # not the one of the connection itself
            self.told.add(channel)
            self.resets += 1

    def close(self) -> None:
        """Go away."""
        if self._reading is not None:
            self._reading.cancel()


async def _open(reader: Reader, opening: asyncio.Semaphore) -> None:
    async with opening:
        await reader.open()


def _foreign(spec: dict[str, Any], stop: Any, told: Any) -> None:
    """The process of the one who publishes."""
    told.put(asyncio.run(_publishing(spec, stop)))


async def _publishing(spec: dict[str, Any], stop: Any) -> tuple[Late, Late]:
    published: Late = []
    answered: Late = []
    posters = [Poster(spec["host"], spec["port"], headers=spec["headers"]) for _ in range(POSTERS)]
    store = redis.asyncio.Redis.from_url(spec["redis"], max_connections=1000)
    tasks: set[asyncio.Task[None]] = set()
    begun, number = time.monotonic(), 0
    while not stop.is_set():
        poster = posters[number % POSTERS]
        post = poster.post("/v1/channels/public:foreign/messages", b'{"data":1}')
        for work, late in ((post, published), (store.ping(), answered)):
            task = asyncio.create_task(_time(work, late))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        number += 1
        await asyncio.sleep(max(0.0, begun + number / RATE - time.monotonic()))
    await asyncio.gather(*tasks)
    await store.aclose()
    for poster in posters:
        poster.close()
    return published, answered


async def _time(work: Any, late: Late) -> None:
    at, begun = time.time(), time.monotonic()
    await work
    late.append((at, time.monotonic() - begun))


@contextlib.contextmanager
def _publisher(spec: dict[str, Any]) -> Iterator[Any]:
    """Runs beside; the value is a function that ends it and answers with what it has timed."""
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue()
    process = context.Process(target=_foreign, args=(spec, stop, told), daemon=True)
    process.start()

    def end() -> tuple[Late, Late]:
        stop.set()
        timed: tuple[Late, Late] = told.get(timeout=60)
        return timed

    try:
        yield end
    finally:
        process.kill()
        process.join()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _p99(late: Late, begin: float, end: float) -> float:
    seconds = sorted(took for at, took in late if begin <= at < end)
    return seconds[int(len(seconds) * 0.99)] if seconds else float("inf")


def _told(name: str, late: Late, begin: float, end: float) -> str:
    seconds = sorted(took * 1000 for at, took in late if begin <= at < end)
    if not seconds:
        return f"{name}: nothing"
    p50, p99 = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)]
    return f"{name}: p50 {p50:.1f}, p99 {p99:.1f}, longest {seconds[-1]:.1f} ms ({len(seconds)})"


def _fail_over(url: str) -> None:
    """Another replication id: for a moment a replica of nobody, then promoted, before anybody else is served."""
    with redis.Redis.from_url(url) as client, client.pipeline(transaction=False) as both:
        both.execute_command("REPLICAOF", "127.0.0.1", "1")
        both.execute_command("REPLICAOF", "NO", "ONE")
        both.execute()


def _used(url: str) -> float:
    """Seconds of CPU that Redis has used."""
    with redis.Redis.from_url(url) as client:
        found = client.info("cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


def _readers(stack: Stack, channels: int, *, everywhere: bool) -> list[Reader]:
    names = [f"{PREFIX}{number}" for number in range(channels)]
    found = []
    for gateway, url in enumerate(stack.read_run()["gateways"]):
        at = urlsplit(url)
        mine = names if everywhere else names[gateway :: stack.gateways]
        for start in range(0, len(mine), PER_CONNECTION):
            some = mine[start : start + PER_CONNECTION]
            found += [Reader(str(at.hostname), int(at.port or 0), some)]
    return found


async def measure(stack: Stack, channels: int, *, everywhere: bool) -> bool:
    """Whether all were told in time and nobody else had to wait for long."""
    readers = _readers(stack, channels, everywhere=everywhere)
    begun = time.monotonic()
    opening = asyncio.Semaphore(2 * stack.gateways)
    await asyncio.gather(*(_open(reader, opening) for reader in readers))
    listened = channels * (stack.gateways if everywhere else 1)
    took = time.monotonic() - begun
    _say(f"{listened} listened channels on {stack.gateways} gateways, subscribed in {took:.0f} s")
    spec = {**stack.at("publisher"), "headers": stack.bearer(), "redis": stack.redis}
    with _publisher(spec) as end:
        await asyncio.sleep(15)  # its first seconds and the reports of listeners are over
        used = _used(stack.redis)
        early = sum(reader.resets for reader in readers)
        for reader in readers:
            reader.told.clear()
        since, clock = time.time(), time.monotonic()
        await asyncio.to_thread(_fail_over, stack.redis)
        last, passed = 0, 0.0
        while last < listened and passed < PATIENCE:
            await asyncio.sleep(0.05)
            last = sum(len(reader.told) for reader in readers)
            passed = time.monotonic() - clock
        ended = time.time()
        await asyncio.sleep(3)
        published, answered = await asyncio.to_thread(end)
    for reader in readers:
        reader.close()
    again = sum(reader.resets for reader in readers) - early - last
    _say(f"told {last} of {listened} within {passed:.1f} s, {again} twice, {early} before it")
    used = _used(stack.redis) - used
    _say(f"Redis used {used:.1f} s of CPU; load {os.getloadavg()[0]:.1f}")
    for when, a, b in (("before", 0.0, since), ("while it lasts", since, ended)):
        _say(f"{when}: {_told('publish', published, a, b)}; {_told('Redis', answered, a, b)}")
    in_time = last == listened and passed <= WITHIN_SECONDS
    return in_time and _p99(published, since, ended) < P99_SECONDS


def main() -> int:
    """Exit status 1 when it took longer than 15 s, or another's publish longer than 100 ms (p99)."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.resync", description=__doc__)
    parser.add_argument("--channels", type=int, default=50_000)
    parser.add_argument("--gateways", type=int, default=4)
    parser.add_argument("--everywhere", action="store_true", help="each gateway listens to all")
    parser.add_argument("--folder", type=Path, default=Path("var") / "resync")
    given = parser.parse_args()
    variables = {
        "OPENLINE_CHANNELS_PER_CONNECTION": str(PER_CONNECTION),
        "OPENLINE_DEMO": "off",
    }
    stack = Stack(given.folder.resolve(), gateways=given.gateways, variables=variables)
    try:
        stack.start()
        done = measure(stack, given.channels, everywhere=given.everywhere)
        return 0 if asyncio.run(done) else 1
    finally:
        stack.stop()


if __name__ == "__main__":
    sys.exit(main())
