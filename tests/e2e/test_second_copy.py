"""`make run` beside another copy: what a second one does, keeps and leaves behind."""

from __future__ import annotations

import os
import signal
import time

import httpx2
import pytest

from deploy.local.ports import is_free
from tests.support.stack import ROOT, Stack, alive
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Another system, in a folder with blanks, which restarts services whose files change."""
    folder = tmp_path_factory.mktemp("second") / "a folder with blanks"
    system = Stack(folder, OPENLINE_RELOAD="on", OPENLINE_GATEWAYS="1").start()
    yield system
    system.stop()


@pytest.fixture
def other(second):
    """The same, up again when a test before has ended it."""
    return second if second.process.poll() is None else second.start()


def test_with_reload_a_service_restarts_when_a_file_of_it_changes_and_the_others_go_on(other):
    wait_until(lambda: "watching" in other.screen)
    before = other.run["pids"]
    (ROOT / "services/publisher/__main__.py").touch()
    wait_until(lambda: other.run["pids"].get("publisher") not in (None, before["publisher"]))
    other.wait_ready("publisher")
    assert "publisher has changed; restarting it" in other.screen
    other.publish("public:news", 1)
    now = other.run["pids"]
    assert {name for name in now if now[name] != before[name]} == {"publisher"}


def test_a_second_copy_runs_beside_the_first_leaves_nothing_and_keeps_what_it_has(stack, other):
    """Nothing is left although a gateway hangs."""
    mine, its = stack.run, other.run
    addresses = [
        {r["front_door"], *r["gateways"], r["auth"], r["publisher"], r["redis"]}
        for r in (mine, its)
    ]
    assert addresses[0].isdisjoint(addresses[1])
    other.publish("room:lobby", {"text": "kept"})
    other.pause("gateway-1")
    began = time.monotonic()
    assert_nothing_is_left_after(other, signal.SIGTERM)
    assert time.monotonic() - began < 30
    other.start()
    page = httpx2.get(f"{other.url}/v1/channels/room:lobby/messages", headers=other.bearer())
    assert [message["data"] for message in page.json()["messages"]] == [{"text": "kept"}]
    assert other.run["users"] == its["users"]
    assert httpx2.get(f"{stack.url}/healthz").status_code == 200


def assert_nothing_is_left_after(system, number):
    """Neither processes, nor ports that are in use, nor the file that says what runs."""
    run, processes = system.run, system.processes()
    assert system.stop(number) == 0
    assert not any(alive(pid) for pid in processes)
    assert not (system.var / "run.json").exists()
    assert all(
        is_free(int(url.rpartition(":")[2])) for url in (run["front_door"], *run["gateways"])
    )


def test_nothing_survives_a_supervisor_that_is_killed(other):
    before = other.processes()
    os.kill(other.process.pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in before))
    other.process.wait()
