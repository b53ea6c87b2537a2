"""Hold a client library to its duties: play the server of each scenario to it, and check what it sends and tells.

    python clients/scenarios/run.py -- node clients/js/scenarios/adapter.mjs
    python clients/scenarios/run.py --only after_a_cut,gap -- python my_adapter.py

What an adapter is and what each step means is in README.md beside this file. Needs the package `websockets`, nothing else.
Scenarios run side by side (`--jobs`), each with a server, a port and an adapter of its own, in real time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

SCENARIOS = Path(__file__).with_name("scenarios.json")
OPTIONAL = {"client", "lingers"}  # abilities that a client may lack
IN_ORDER = {"message", "lost"}  # what is told of channels and has one order
ASIDE = {"token", "state", "recovered"}  # what counts only where a step asks for it
Json = dict[str, Any]


class Failed(Exception):  # noqa: N818 (the word for a scenario that failed)
    """A client did something else than the step asks for."""


class Line(asyncio.Protocol):
    """One WebSocket connection of the client, as frames: several that are sent together leave in one write."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.protocol = ServerProtocol(subprotocols=[Subprotocol("openline.json.v1")])
        self.received: deque[Json] = deque()
        self.closed: int | None = None
        self.changed = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Request):
                self._handshake(event)
            elif isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.BINARY}:
                self._frame(json.loads(bytes(event.data)))
        self._flush()
        self.changed.set()

    def _handshake(self, request: Request) -> None:
        if self.server.refusals:
            status = self.server.refusals.popleft()
            self.protocol.send_response(self.protocol.reject(status, "not now"))
        else:
            self.protocol.send_response(self.protocol.accept(request))
            self.server.accepted(self)

    def _frame(self, frame: Json) -> None:
        if frame.get("type") == "ping":
            if self.protocol.state is State.OPEN:
                self.send({"type": "pong", "id": frame.get("id")})
        elif frame.get("type") != "pong" or self.server.wants_pong:
            self.received.append(frame)
            self.changed.set()

    def _flush(self) -> None:
        data = self.protocol.data_to_send()
        if any(data):
            self.transport.write(b"".join(data))
        if self.protocol.close_expected() and b"" in data:
            self.transport.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.protocol.receive_eof()
        self.closed = self.protocol.close_code or 1006
        self.changed.set()
        self.server.changed.set()

    def send(self, *frames: Json) -> None:
        if self.protocol.state is not State.OPEN:
            raise Failed(f"the client has closed the line ({self.protocol.close_code})")
        for frame in frames:
            self.protocol.send_text(json.dumps(frame).encode())
        self._flush()

    def close(self, code: int, reason: str) -> None:
        self.protocol.send_close(code, reason)
        self._flush()


class Server:
    """The scripted server of one scenario."""

    def __init__(self) -> None:
        self.lines: deque[Line] = deque()
        self.refusals: deque[int] = deque()
        self.changed = asyncio.Event()
        self.wants_pong = False

    def accepted(self, line: Line) -> None:
        self.lines.append(line)
        self.changed.set()


class Adapter:
    """The client under test: commands to its standard input, what it tells from its standard output, as JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told: dict[str, deque[Json]] = defaultdict(deque)
        self.tokens: list[str] = []
        self.nonsense = ""  # the first line that is no JSON object
        self.changed = asyncio.Event()

    async def read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            for kind, what in self._told(line).items():
                if kind == "token":
                    self.tokens.append(what)
                queue = "channel" if kind in IN_ORDER else kind
                self.told[queue].append({kind: what})
            self.changed.set()

    def _told(self, line: bytes) -> Json:
        try:
            told = json.loads(line)
        except ValueError:
            told = None
        if isinstance(told, dict):
            return told
        if line.strip():
            self.nonsense = self.nonsense or line.decode(errors="replace").strip()
        return {}

    async def do(self, command: Json) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            await self.process.stdin.drain()
        except ConnectionError:
            raise Failed("the adapter reads no more commands") from None

    def state(self) -> str:
        """What is wrong with the adapter itself, to be said behind a failure."""
        ended = (
            f"; the adapter ended with {self.process.returncode}" if self.process.returncode else ""
        )
        wrote = f"; it wrote what is no JSON object: {self.nonsense}" if self.nonsense else ""
        return ended + wrote


async def until(event: asyncio.Event, ready: Any, seconds: float, what: str) -> Any:
    """The first true value of `ready()`, which is asked again whenever `event` is set."""
    end = time.monotonic() + seconds
    while not (value := ready()):
        event.clear()
        try:
            await asyncio.wait_for(event.wait(), max(0.0, end - time.monotonic()))
        except TimeoutError:
            raise Failed(f"waited {seconds:g} s in vain for {what}") from None
    return value


class Play:
    """One scenario being played."""

    def __init__(self, server: Server, adapter: Adapter, url: str, patience: float) -> None:
        self.server, self.adapter, self.url, self.patience = server, adapter, url, patience
        self.names: dict[str, Any] = {}
        self.line: Line | None = None
        self.before: Line | None = None
        self.has_failed = False  # and its channels with it
        self.since = time.monotonic()

    def fits(self, wanted: Any, got: Any) -> bool:
        """Whether `got` has all that `wanted` has. A name such as `$key` is bound at first and has to be equal later.

        A command's `id` is bound anew each time.
        """
        if isinstance(wanted, str) and wanted.startswith("$"):
            if wanted == "$client" and not (isinstance(got, str) and 22 <= len(got) <= 64):
                return False
            return bool(self.names.setdefault(wanted, got) == got)
        if isinstance(wanted, dict):
            self.names.pop(wanted.get("id", ""), None)
            return isinstance(got, dict) and all(
                key in got and self.fits(value, got[key]) for key, value in wanted.items()
            )
        if isinstance(wanted, bool) or wanted is None:
            return wanted is got
        return bool(wanted == got)

    def filled(self, value: Any) -> Any:
        """`value` with bound names in their places."""
        if isinstance(value, str):
            return self.names.get(value, value)
        if isinstance(value, dict):
            return {key: self.filled(item) for key, item in value.items()}
        return value

    @property
    def here(self) -> Line:
        if self.line is None:
            raise Failed("the scenario has no line yet")
        return self.line

    async def step(self, step: Json) -> None:
        verb = next(key for key in step if key != "after")
        if verb == "do":
            await self.adapter.do({**step, "url": self.url} if step["do"] == "connect" else step)
        else:
            await getattr(self, verb)(step[verb], step)
        if verb not in {"tell", "told_tokens"}:
            self.since = time.monotonic()

    async def accept(self, wanted: Json, _step: Json) -> None:
        began = self.since
        line = await until(
            self.server.changed,
            lambda: self.server.lines and self.server.lines.popleft(),
            wanted.get("within", self.patience),
            "a connection",
        )
        if (waited := time.monotonic() - began) < wanted.get("after", 0):
            raise Failed(
                f"the client came back after {waited:.2f} s, {wanted['after']} s are asked for"
            )
        self.before, self.line = self.line, line

    async def greet(self, wanted: Json, step: Json) -> None:
        await self.accept({}, step)
        auth = {"type": "auth", "id": "$auth", **wanted.get("auth", {})}
        await self.receive(auth, {})
        connected: Json = {
            "type": "connected",
            "node": "n1",
            "expires": None,
            "ping": 25,
            "channels": {},
        }
        connected |= {key: value for key, value in wanted.items() if key != "auth"}
        ack = {
            "type": "ack",
            "id": self.names.get("$auth"),
            "user": wanted["user"],
            "expires": None,
        }
        self.here.send(connected, ack)

    async def receive(self, wanted: Json, step: Json) -> None:
        began, line = self.since, self.here
        self.server.wants_pong = wanted["type"] == "pong"
        frame = await until(
            line.changed,
            lambda: (
                (line.received and line.received.popleft())
                or (line.closed and {"closed": line.closed})
            ),
            self.patience,
            f"{wanted}",
        )
        self.server.wants_pong = False
        if not self.fits(wanted, frame):
            raise Failed(f"the client sent {frame}, not {self.filled(wanted)}")
        if (waited := time.monotonic() - began) < step.get("after", 0):
            raise Failed(
                f"the client sent {frame} after {waited:.2f} s, {step['after']} s are asked for"
            )

    async def maybe(self, wanted: Json, _step: Json) -> None:
        """A command that may come, and is refused then."""
        command = {key: value for key, value in wanted.items() if key != "error"}
        error = wanted["error"]
        await asyncio.sleep(0.5)
        if self.here.received and self.fits(command, self.here.received[0]):
            frame = self.here.received.popleft()
            answer = {
                "type": "error",
                "id": frame.get("id"),
                "code": error,
                "message": error,
                "temporary": False,
            }
            self.here.send(answer)

    async def settle(self, answer: Json, step: Json) -> None:
        """Answer each subscribe and unsubscribe of two seconds, on a new line too, as the server does.

        What is told of loss and recovery meanwhile is open.
        """
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            if self.server.lines:
                await self.greet({"user": answer["user"], "connection": "c9"}, step)
            while self.here.received:
                self._answer(self.here.received.popleft(), answer)
            await asyncio.sleep(0.05)
        self.adapter.told["channel"].clear()

    def _answer(self, frame: Json, answer: Json) -> None:
        ack: Json = {"type": "ack", "id": frame.get("id"), "channel": answer["channel"]}
        if frame["type"] == "subscribe":
            ack |= {"epoch": answer["epoch"], "offset": answer["offset"]}
            if frame.get("since"):
                ack |= {"recovered": False, "began": 0}
        self.here.send(ack)

    async def send(self, frames: list[Json], _step: Json) -> None:
        self.here.send(*(self.filled(frame) for frame in frames))

    async def cut(self, _wanted: bool, _step: Json) -> None:
        self.here.transport.abort()

    async def close(self, code: int, step: Json) -> None:
        self.here.close(code, step.get("reason", ""))

    async def refuse(self, status: int, _step: Json) -> None:
        self.server.refusals.append(status)

    async def closed(self, code: int, _step: Json, line: Line | None = None) -> None:
        line = line or self.here
        await until(
            line.changed, lambda: line.closed is not None, self.patience, "the client's close"
        )
        if line.closed != code:
            raise Failed(f"the client closed with {line.closed}, not {code}")

    async def closed_before(self, code: int, step: Json) -> None:
        assert self.before is not None
        await self.closed(code, step, self.before)

    async def tell(self, wanted: Json, _step: Json) -> None:
        kind = next(iter(wanted))
        queue = self.adapter.told["channel" if kind in IN_ORDER else kind]
        if kind == "token":
            found = await until(
                self.adapter.changed,
                lambda: next((told for told in queue if told["token"] == wanted["token"]), None),
                self.patience,
                f"{wanted}",
            )
            queue.remove(found)
            return
        told = await until(
            self.adapter.changed, lambda: queue and queue.popleft(), self.patience, f"{wanted}"
        )
        if not self.fits(wanted, told):
            raise Failed(f"the client told {told}, not {wanted}")
        self.has_failed = self.has_failed or kind == "failed"

    async def told_tokens(self, reasons: list[str], _step: Json) -> None:
        if self.adapter.tokens != reasons:
            raise Failed(f"the token provider was called for {self.adapter.tokens}, not {reasons}")

    async def quiet(self, seconds: float, _step: Json) -> None:
        await asyncio.sleep(seconds)
        if self.server.lines:
            raise Failed("the client opened another connection")
        if self.line is not None and self.line.received:
            raise Failed(f"the client sent {self.line.received[0]}")
        aside = ASIDE | ({"channel_failed"} if self.has_failed else set())
        for kind, queue in self.adapter.told.items():
            if queue and kind not in aside:
                raise Failed(f"the client told {queue[0]}")


async def end(process: asyncio.subprocess.Process) -> None:
    """Adapters end with their input; one that does not is killed, with what it has started."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), 3)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def play(scenario: Json, command: Sequence[str], patience: float) -> str | None:
    """Play one scenario; None when the client did what it has to, else what went wrong at which step."""
    server = Server()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Line(server), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
        start_new_session=True,
    )
    adapter = Adapter(process)
    reading = asyncio.ensure_future(adapter.read())
    one = Play(server, adapter, f"http://127.0.0.1:{port}", patience)
    try:
        for number, step in enumerate(scenario["steps"], 1):
            try:
                await one.step(step)
            except Failed as error:
                with contextlib.suppress(
                    TimeoutError
                ):  # one that has ended is known as such a moment later
                    await asyncio.wait_for(process.wait(), 0.5)
                return f"step {number} {json.dumps(step)}: {error}{adapter.state()}"
        return None
    finally:
        await end(process)
        await reading
        listening.close()


async def play_all(
    scenarios: Sequence[Json], command: Sequence[str], *, jobs: int, patience: float
) -> int:
    """Play them and say of each what came of it; the number of those that failed."""
    turn = asyncio.Semaphore(jobs)

    async def one(scenario: Json) -> bool:
        async with turn:
            wrong = await play(scenario, command, patience)
        print(
            f"{'FAILED' if wrong else 'passed'}  {scenario['name']}{f': {wrong}' if wrong else ''}",
            flush=True,
        )
        return wrong is not None

    failed = sum(await asyncio.gather(*(one(scenario) for scenario in scenarios)))
    print(f"{len(scenarios) - failed} passed, {failed} failed")
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Hold a client of Openline to its duties.",
        epilog=(__doc__ or "").split("\n\n")[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", help="names of scenarios, by comma")
    parser.add_argument(
        "--without",
        default="",
        help=f"optional abilities that the client does not have, by comma: {', '.join(sorted(OPTIONAL))}",
    )
    parser.add_argument("--jobs", type=int, default=8, help="scenarios at once (8)")
    parser.add_argument("--patience", type=float, default=15, help="seconds that a step waits (15)")
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    parser.add_argument("adapter", nargs="*", help="the command of the adapter, after --")
    asked = parser.parse_args(arguments)
    scenarios = json.loads(SCENARIOS.read_text("utf-8"))
    if asked.only:
        names = asked.only.split(",")
        if unknown := set(names) - {scenario["name"] for scenario in scenarios}:
            parser.error(f"no such scenario: {', '.join(sorted(unknown))}; --list names them")
        scenarios = [scenario for scenario in scenarios if scenario["name"] in names]
    lacking = set(asked.without.split(",")) - {""}
    if unknown := lacking - OPTIONAL:
        parser.error(
            f"no optional ability: {', '.join(sorted(unknown))}; there are {', '.join(sorted(OPTIONAL))}"
        )
    scenarios = [scenario for scenario in scenarios if scenario.get("optional") not in lacking]
    if asked.list:
        for scenario in scenarios:
            print(f"{scenario['name']:34} {scenario['rule']:5} {scenario['does']}")
        return 0
    if not asked.adapter:
        parser.error("give the command of an adapter after --, such as: -- node adapter.mjs")
    if shutil.which(asked.adapter[0]) is None:
        parser.error(f"{asked.adapter[0]} is no program that can be run")
    return (
        1
        if asyncio.run(play_all(scenarios, asked.adapter, jobs=asked.jobs, patience=asked.patience))
        else 0
    )


if __name__ == "__main__":
    sys.exit(main())
