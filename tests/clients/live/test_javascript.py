"""`@openline/client` in Node, against the running system: whatever happens, each message once and in order."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

PACKAGE = ROOT / "clients/js"
BIN = Path(sys.executable).parent
Report = dict[str, Any]
Tell = Callable[[str], Any]


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The package as users get it; `make clients` has built it before."""
    if not (PACKAGE / "dist/index.js").exists():
        subprocess.run([BIN / "npm", "run", "-s", "build"], cwd=PACKAGE, check=True)


@contextmanager
def crowd(stack: Stack, **told: Any) -> Iterator[Tell]:
    """Clients that listen; what is yielded tells them a word and gives what they say."""
    arguments = {
        "package": str(PACKAGE / "dist/index.js"),
        "url": stack.url,
        "bearer": stack.client_token(),
        "channel": f"room:{secrets.token_hex(6)}",
        "clients": 20,
        **told,
    }
    with subprocess.Popen(
        [BIN / "node", Path(__file__).with_name("crowd.mjs"), json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout

        def tell(word: str) -> Any:
            assert process.stdin
            assert process.stdout
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            return None if word == "start" else json.loads(process.stdout.readline())

        try:
            assert json.loads(process.stdout.readline()) == {"live": arguments["clients"]}
            yield tell
            # The end of its input closes the clients, and then nothing is left that would keep it.
            process.stdin.close()
            assert process.wait(60) == 0
        finally:
            process.kill()  # or the end of the block would wait for one that hangs


def stop(tell: Tell) -> Report:
    """Stop publishing; the report once every publish is answered and all clients have come as far."""
    stopped = tell("stop")
    report: Report = tell("report")
    assert stopped["settled"], f"a publish was never answered: {report}"
    assert len(stopped["ends"]) == 1, f"some clients stay behind: {report}"
    return report


def check_once_and_in_order(report: Report, least: int) -> None:
    """All that was published came to all, once and in order, and nobody was told of a loss."""
    assert report["refused"] == []
    assert len(report["places"]) >= least
    published = list(range(1, len(report["places"]) + 1))
    assert sorted(report["places"]) == published
    for seen in report["seen"]:
        assert seen["lost"] == []
        assert seen["offsets"] == published
        assert seen["doubled"] == 0


@pytest.mark.parametrize("socket", [None, str(PACKAGE / "node_modules/ws/wrapper.mjs")])
def test_each_message_comes_once_and_in_order(stack: Stack, socket: str | None) -> None:
    with crowd(stack, socket=socket) as tell:
        tell("start")
        wait_until(lambda: len(tell("report")["places"]) > 200, timeout=60)
        report = stop(tell)
    check_once_and_in_order(report, 200)
    assert all(seen["states"] == ["connecting", "online"] for seen in report["seen"])


def test_a_killed_gateway_costs_nothing(stack: Stack) -> None:
    with crowd(stack) as tell:
        tell("start")
        wait_until(lambda: len(tell("report")["places"]) > 50, timeout=60)
        victim = next(node for node in tell("report")["nodes"] if node)
        stack.kill(victim)
        wait_until(lambda: all(tell("report")["nodes"]), timeout=60)
        report = stop(tell)
    check_once_and_in_order(report, 50)
    assert any("waiting" in seen["states"] for seen in report["seen"])
    assert sum(seen["recovered"] for seen in report["seen"]) > 0


def test_a_gateway_that_drains_is_left_without_a_leave(stack: Stack) -> None:
    with crowd(stack) as tell:
        tell("start")
        wait_until(lambda: len(tell("report")["places"]) > 50, timeout=60)
        victim = next(node for node in tell("report")["nodes"] if node)
        stack.kill(victim, signal.SIGTERM)
        wait_until(lambda: any("moving" in s["states"] for s in tell("report")["seen"]), timeout=60)
        wait_until(lambda: all(tell("report")["nodes"]), timeout=60)
        report = stop(tell)
    check_once_and_in_order(report, 50)
    assert sum(seen["leaves"] for seen in report["seen"]) == 0


def test_a_token_that_ends_is_renewed_on_the_living_line(stack: Stack) -> None:
    with crowd(stack, clients=3, publishers=2, ttl=6) as tell:
        tell("start")
        wait_until(lambda: all("renew" in s["asked"] for s in tell("report")["seen"]), timeout=60)
        wait_until(lambda: all(len(s["asked"]) > 2 for s in tell("report")["seen"]), timeout=60)
        report = stop(tell)
    check_once_and_in_order(report, 50)
    for seen in report["seen"]:
        assert seen["asked"][0] == "first"
        assert set(seen["asked"][1:]) == {"renew"}
        assert seen["states"] == ["connecting", "online"]


def test_a_store_that_restarts_is_survived_and_what_it_lost_is_told(stack: Stack) -> None:
    with crowd(stack) as tell:
        tell("start")
        wait_until(lambda: len(tell("report")["places"]) > 50, timeout=60)
        before = len(tell("report")["places"])
        stack.kill("redis")
        wait_until(lambda: len(tell("report")["places"]) > before + 100, timeout=90)
        report = stop(tell)
    assert report["refused"] == []
    for seen in report["seen"]:
        # A killed store may forget its last moments: then an epoch is new, and everybody is told. Never a silent gap.
        assert "gap" not in [lost["reason"] for lost in seen["lost"]]
        for run in unbroken(seen["offsets"]):
            assert run == list(range(run[0], run[0] + len(run)))


def unbroken(offsets: list[int | None]) -> list[list[int]]:
    """The offsets between one loss that was told and the next."""
    runs: list[list[int]] = [[]]
    for offset in offsets:
        if offset is None:
            runs.append([])
        else:
            runs[-1].append(offset)
    return [run for run in runs if run]
