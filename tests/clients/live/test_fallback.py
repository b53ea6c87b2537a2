"""`@openline/client` over HTTP both ways, against the running system."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.clients.live.test_javascript import PACKAGE, built, check_once_and_in_order, crowd, stop
from tests.support.node import run
from tests.support.stack import Stack
from tests.support.waiting import wait_until

__all__ = ["built"]

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


def test_where_websocket_is_blocked_it_gets_through_over_http(stack: Stack, room: str) -> None:
    told = {
        "package": str(PACKAGE / "dist/index.js"),
        "url": stack.url,
        "token": stack.connect_token("behind-a-proxy"),
        "channel": room,
    }
    script = Path(__file__).with_name("blocked.mjs")
    said = json.loads(run("node", str(script), json.dumps(told), folder=script.parent))
    assert (said["transport"], said["user"], said["upgrades"]) == ("stream", "behind-a-proxy", 2)
    sys.stdout.write(f"online in {said['seconds']:.1f} s, first message in {said['first']:.1f} s\n")
    assert said["firstLived"] < 8
    assert said["heard"] == [[n, "behind-a-proxy"] for n in range(150)]
    assert said["offsets"] == list(range(1, 151))
    assert (said["newest"], said["count"]) == (149, 1)


def test_over_http_a_killed_gateway_costs_nothing(stack: Stack) -> None:
    with crowd(stack, clients=10, publishers=3, transports=["stream"]) as tell:
        tell("start")
        wait_until(lambda: len(tell("report")["places"]) > 50, timeout=60)
        victim = next(node for node in tell("report")["nodes"] if node)
        stack.kill(victim)
        wait_until(lambda: all(tell("report")["nodes"]), timeout=60)
        report = stop(tell)
    check_once_and_in_order(report, 50)
    assert any("waiting" in seen["states"] for seen in report["seen"])
