"""`python -m loadtest.scaleout`: many connections on one gateway, then two more gateways; how fast they are even.

A publisher writes to fifty channels all the while, so that what a move loses or delays shows. Gateways shed nobody who came
in the last five minutes: that long the connections are left alone first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from loadtest.bench.openline import Stack

CHANNELS = 50
RATE = 10
"""Messages a second over all channels."""

GOING_AWAY = 1001
EVEN = 1.05
PATIENCE = 300.0
ADDED = ("gateway-2", "gateway-3")


class Heard:
    """What all clients heard: `late` are seconds from publish to receipt, with when they were received."""

    def __init__(self) -> None:
        self.late: list[tuple[float, float]] = []
        self.holes = self.flagged = self.returns = 0
        self.closes: dict[int, int] = {}


class Client:
    """An anonymous reader of one channel that comes back as the protocol says."""

    def __init__(self, url: str, channel: str, heard: Heard) -> None:
        self.url, self.channel, self.heard = url, channel, heard
        self.at: dict[str, Any] | None = None
        self.is_open = False
        self._leaving: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            code = 1006
            with contextlib.suppress(OSError, InvalidHandshake):
                code = await self._connection()
            self.is_open = False
            self.heard.closes[code] = self.heard.closes.get(code, 0) + 1
            await asyncio.sleep(0 if code == GOING_AWAY else random.uniform(0, 2))  # noqa: S311 - spreads returns

    async def _connection(self) -> int:
        async with connect(self.url, compression=None, ping_interval=None) as socket:
            try:
                await socket.send('{"type":"auth"}')
                since = {"since": self.at} if self.at else {}
                subscribe = {"type": "subscribe", "id": 1, "channel": self.channel, **since}
                await socket.send(json.dumps(subscribe))
                async for frame in socket:
                    await self._receive(json.loads(frame), socket)
            except ConnectionClosed:
                pass
            return socket.close_code or 1006

    async def _receive(self, event: dict[str, Any], socket: ClientConnection) -> None:
        kind = event["type"]
        if kind == "ack" and event.get("id") == 1:
            self._joined(event)
        elif kind == "reset" and event["channel"] == self.channel:
            self.heard.flagged += 1
            self.at = {"epoch": event["epoch"], "offset": event["offset"]}
        elif kind == "message" and event["channel"] == self.channel:
            self._message(event)
        elif kind == "ping":
            await socket.send('{"type":"pong"}')
        elif kind == "reconnect":
            self._leaving = asyncio.create_task(_leave(socket, event["within"]))

    def _joined(self, event: dict[str, Any]) -> None:
        place = {"epoch": event["epoch"], "offset": event["offset"]}
        if self.at is not None:
            self.heard.returns += 1
            self.heard.flagged += not event["recovered"]
        self.at = self.at if event.get("recovered") else place
        self.is_open = True

    def _message(self, event: dict[str, Any]) -> None:
        assert self.at is not None
        if event["offset"] != self.at["offset"] + 1 - event.get("skipped", 0):
            self.heard.holes += event["offset"] - self.at["offset"] - 1 != event.get("skipped", 0)
        self.at["offset"] = event["offset"]
        now = time.time()
        self.heard.late.append((now, now - event["data"]))


async def _leave(socket: ClientConnection, within: float) -> None:
    await asyncio.sleep(random.uniform(0, within))  # noqa: S311
    await socket.close(GOING_AWAY)


class Fleet:
    """The system that is measured: three gateways, two of which are held down first."""

    def __init__(self, folder: Path) -> None:
        variables = {"OPENLINE_SHEDDING": "on", "OPENLINE_DEMO": "off"}
        self.stack = Stack(folder, gateways=3, variables=variables)

    def begin(self) -> None:
        """Start all, then end the two."""
        self.stack.start()
        self.run = self.stack.read_run()
        for name in ADDED:
            self._hold(name).parent.mkdir(exist_ok=True)
            self._hold(name).touch()
            os.kill(self.run["pids"][name], signal.SIGKILL)

    def scale_out(self) -> None:
        """Let the two start."""
        for name in ADDED:
            self._hold(name).unlink()

    def _hold(self, name: str) -> Path:
        return self.stack.folder / "var" / "hold" / name

    def token(self) -> str:
        """The back end's."""
        first, _, _ = self.stack.bearer().partition("\r\n")
        return first.removeprefix("Authorization: Bearer ")

    def connections(self, token: str) -> dict[str, int]:
        """By gateway."""
        found = json.load(_ask(f"{self.run['front_door']}/v1/nodes", token=token))
        return {node["node"]: node["connections"] for node in found["nodes"]}


def _ask(url: str, body: bytes | None = None, *, token: str = "", kind: str = "") -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if kind:
        headers["Content-Type"] = kind
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - our own address
    return urllib.request.urlopen(request, timeout=10)  # noqa: S310


async def _publishing(fleet: Fleet, token: str) -> None:
    number = 0
    while True:
        number += 1
        url = f"{fleet.run['front_door']}/v1/channels/public:even-{number % CHANNELS}/messages"
        body = json.dumps({"data": time.time()}).encode()
        await asyncio.to_thread(_ask, url, body, token=token, kind="application/json")
        await asyncio.sleep(1 / RATE)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _p99(heard: Heard, begin: float, end: float) -> str:
    late = sorted(seconds for at, seconds in heard.late if begin <= at < end)
    if not late:
        return "nothing"
    return f"p50 {late[len(late) // 2] * 1000:.1f} ms, p99 {late[int(len(late) * 0.99)] * 1000:.1f} ms ({len(late)})"


async def measure(fleet: Fleet, number: int, settle: float) -> bool:
    """Whether all had their share within three minutes and nothing was lost."""
    token, heard = fleet.token(), Heard()
    url = fleet.run["front_door"].replace("http", "ws", 1) + "/ws"
    clients = [Client(url, f"public:even-{n % CHANNELS}", heard) for n in range(number)]
    tasks = []
    for client in clients:
        tasks.append(asyncio.create_task(client.run()))
        await asyncio.sleep(0.005)
    while not all(client.is_open for client in clients):  # noqa: ASYNC110 - learnt by asking
        await asyncio.sleep(0.1)
    tasks.append(asyncio.create_task(_publishing(fleet, token)))
    _say(f"{number} connections: {fleet.connections(token)}; left alone for {settle:g} s")
    await asyncio.sleep(settle)
    begun = time.time()
    _say(f"before: {_p99(heard, begun - 60, begun)}")
    fleet.scale_out()
    seconds = await _until_even(fleet, token)
    ended = time.time()
    await asyncio.sleep(15)
    _say(f"even after {seconds:.0f} s; while moving: {_p99(heard, begun, ended)}")
    _say(
        f"moved {heard.returns}, closes {heard.closes}, holes {heard.holes}, flagged {heard.flagged}"
    )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seconds <= 180 and not heard.holes and not heard.flagged  # noqa: PLR2004 - three minutes


async def _until_even(fleet: Fleet, token: str) -> float:
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < PATIENCE:
        await asyncio.sleep(1)
        found = await asyncio.to_thread(fleet.connections, token)
        if int(passed) % 10 == 0:
            _say(f"{passed:4.0f} s: {found}")
        mean = sum(found.values()) / max(1, len(found))
        if len(found) == 1 + len(ADDED) and max(found.values()) <= EVEN * mean + 1:
            _say(f"{passed:4.0f} s: {found}")
            return passed
    return PATIENCE


def main() -> int:
    """Exit status 1 when it took longer than three minutes, or something was lost."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.scaleout", description=__doc__)
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--settle", type=float, default=305.0, help="seconds before the scale-out")
    parser.add_argument("--folder", type=Path, default=Path("var") / "scaleout")
    given = parser.parse_args()
    fleet = Fleet(given.folder.resolve())
    try:
        fleet.begin()
        return 0 if asyncio.run(measure(fleet, given.connections, given.settle)) else 1
    finally:
        fleet.stack.stop()


if __name__ == "__main__":
    sys.exit(main())
