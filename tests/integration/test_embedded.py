"""The embedded server: everything behind one port of one process, and orders through its standard input."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import jwt
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.embedded_server import EmbeddedServer
from tests.support.lived import Lived
from tests.support.stack import ROOT, alive
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer() as running:
        yield running


@contextlib.contextmanager
def listening(server, channel, *, user="ann", token=None):
    """A WebSocket that is subscribed to a channel."""
    with connect(f"{server.ws}/ws") as line:
        token = token or server.connect_token(user)
        line.send(json.dumps({"type": "auth", "id": 1, "token": token}))
        line.send(json.dumps({"type": "subscribe", "id": 2, "channel": channel}))
        while (event := next_event(line)).get("id") != 2:
            pass
        assert event["type"] == "ack", event
        yield line


def next_event(line, kind=None):
    """The next event, or the next of a kind."""
    while True:
        event = json.loads(line.recv(timeout=20))
        if kind in (None, event["type"]):
            return event


def refused(server, token):
    """How a connection ends that brings this token."""
    with connect(f"{server.ws}/ws") as line:
        line.send(json.dumps({"type": "auth", "id": 1, "token": token}))
        with pytest.raises(ConnectionClosed) as end:
            next_event(line, "never")
    return end.value.rcvd


def test_what_a_back_end_publishes_arrives(server):
    with listening(server, "room:arrives") as line:
        published = server.publish("room:arrives", {"text": "hello"})
        message = next_event(line, "message")
    assert message["data"] == {"text": "hello"}
    assert message["offset"] == published["offset"]


def test_a_client_that_comes_back_gets_what_it_missed(server):
    first = server.publish("room:missed", 1)
    server.publish("room:missed", 2)
    with connect(f"{server.ws}/ws") as line:
        since = {"epoch": first["epoch"], "offset": first["offset"]}
        line.send(json.dumps({"type": "auth", "id": 1, "token": server.connect_token("ann")}))
        line.send(
            json.dumps({"type": "subscribe", "id": 2, "channel": "room:missed", "since": since})
        )
        assert next_event(line, "message")["data"] == 2


def test_a_token_that_is_signed_with_the_secret_counts(server):
    now = int(time.time())
    claims = {"sub": "bob", "iss": server.url, "aud": "openline", "iat": now, "exp": now + 60}
    token = jwt.encode(claims, server.facts["hs256_secret"], "HS256")
    with listening(server, "room:signed", token=token) as line:
        line.send(json.dumps({"type": "publish", "id": 3, "channel": "room:signed", "data": 1}))
        assert next_event(line, "message")["from"] == "bob"
    forged = jwt.encode(claims, "x" * 32, "HS256")
    assert refused(server, forged).code == 4001


def test_a_ticket_opens_one_stream(server):
    token = server.connect_token("ann")
    answer = httpx2.post(f"{server.url}/auth/tickets", headers={"Authorization": f"Bearer {token}"})
    url = f"{server.url}/sse?channel=room:ticket&ticket={answer.json()['ticket']}"
    with httpx2.stream("GET", url) as stream:
        assert stream.status_code == 200
    assert httpx2.get(url).status_code == 401


def test_a_user_whose_tokens_are_revoked_is_out_and_stays_out(server):
    token = server.connect_token("mallory")
    with listening(server, "room:revoked", token=token) as line:
        answer = httpx2.post(
            f"{server.url}/v1/users/mallory/revoke", json={}, headers=server.backend()
        )
        assert answer.is_success, answer.text
        with pytest.raises(ConnectionClosed) as end:
            next_event(line, "never")
    assert end.value.rcvd.code == 4005
    assert "revoked" in refused(server, token).reason


def test_the_page_and_the_health_of_it_all_are_behind_the_same_port(server):
    assert "<title>" in httpx2.get(f"{server.url}/").text
    assert httpx2.get(f"{server.url}/healthz").json() == {"status": "ok"}
    assert httpx2.get(f"{server.url}/readyz").json()["ready"] is True
    assert httpx2.get(f"{server.url}/nothing/here").status_code == 404


def test_pages_of_any_origin_may_import_the_client_library_and_nothing_else(server):
    shared = {
        path: httpx2.get(server.url + path).headers.get("Access-Control-Allow-Origin")
        for path in ("/client.js", "/client.d.ts", "/", "/index.html")
    }
    assert shared == {"/client.js": "*", "/client.d.ts": "*", "/": None, "/index.html": None}


def test_dropped_connections_end_without_a_word_and_only_those_of_the_user(server):
    with (
        listening(server, "room:drop", user="ann") as ann,
        listening(server, "room:drop", user="bob") as bob,
    ):
        assert server.tell("drop", user="ann") == 1
        with pytest.raises(ConnectionClosed) as end:
            next_event(ann, "never")
        assert end.value.rcvd is None
        server.publish("room:drop", "still here")
        assert next_event(bob, "message")["data"] == "still here"


def test_listeners_of_a_channel_that_was_lost_are_told(server):
    before = server.publish("room:lost", 1)
    with listening(server, "room:lost") as line:
        assert server.tell("lose", channel="room:lost") is None
        reset = next_event(line, "reset")
    assert reset["channel"] == "room:lost"
    assert reset["epoch"] != before["epoch"]


def test_drained_clients_are_told_to_move_then_closed_and_may_come_back(server):
    with listening(server, "room:drain") as line:
        assert server.tell("drain", seconds=0.2) == 1
        assert next_event(line, "reconnect")["within"] <= 0.2
        with pytest.raises(ConnectionClosed) as end:
            next_event(line, "never")
    assert end.value.rcvd.code == 4100
    with listening(server, "room:drain"):
        pass


@pytest.mark.parametrize(
    ("line", "right"),
    [
        (b'{"id": 1, "verb": "explode"}', "verb is one of drop, lose, drain, not 'explode'"),
        (b'{"id": 1, "verb": "drop", "who": 1}', "who"),
        (b"no json", "malformed"),
    ],
)
def test_a_wrong_order_is_answered_with_what_is_right(server, line, right):
    server.send(line)
    assert right in server.answer()["error"]


@pytest.mark.parametrize("size", [65_537, 131_072, 1_000_000])
def test_an_order_that_is_too_long_is_refused_and_the_next_one_is_carried_out(server, size):
    server.send(b'{"id": 1, "verb": "lose", "channel": "%s"}' % (b"x" * size))
    assert "at most 65536 bytes" in server.answer()["error"]
    assert server.tell("drop", user="nobody") == 0


def test_the_end_of_its_input_ends_it_at_once_and_takes_its_files_along(tmp_path):
    with EmbeddedServer(TMPDIR=str(tmp_path)) as server:
        used = server.cpu_seconds()
        assert list(tmp_path.iterdir())
        with listening(server, "room:end") as line:
            status, took = asyncio.run(ended(server))
            assert status == 0
            with pytest.raises(ConnectionClosed) as end:
                next_event(line, "never")
    assert end.value.rcvd.code == 4100
    assert not list(tmp_path.iterdir())
    # Measured 1.5 s and 0.15 s; this machine may be busy with other tests.
    assert used < 4
    assert took < 5


async def ended(server: EmbeddedServer) -> tuple[int, float]:
    """Its exit status, and the seconds that it took in which this machine did not stand still."""
    async with Lived() as lived:
        status = await asyncio.to_thread(server.end)
        return status, lived.seconds


def test_it_does_not_outlive_whoever_started_it():
    code = (
        "import os, signal, sys; sys.path.insert(0, '.');"
        "from tests.support.embedded_server import EmbeddedServer;"
        "print(EmbeddedServer().process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    wait_until(lambda: not alive(int(ended.stdout)), timeout=20)


def test_at_a_terminal_it_says_that_nothing_is_kept_and_ctrl_c_ends_it(tmp_path):
    given = {name: text for name, text in os.environ.items() if not name.startswith("OPENLINE_")}
    screen = tmp_path / "screen.txt"
    with screen.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "openline_server", "run", "--memory", "--port", "0"],
            cwd=ROOT,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        wait_until(lambda: "Ctrl-C" in screen.read_text() or process.poll() is not None, timeout=60)
        text = screen.read_text()
        assert "no fleet and no durability" in text
        (publish,) = [line for line in text.splitlines() if "/messages" in line]
        said = subprocess.run(
            ["sh", "-c", publish], capture_output=True, text=True, check=True, timeout=30
        )
        assert json.loads(said.stdout)["offset"] == 1
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(30)
    assert status == 0


@pytest.mark.parametrize(
    ("variables", "right"),
    [
        ({"OPENLINE_HS256_SECRET": "short"}, "OPENLINE_HS256_SECRET"),
        ({"OPENLINE_PORT": "70000"}, "OPENLINE_PORT"),
        ({"OPENLINE_NAMESPACES": "/nowhere.toml"}, "OPENLINE_NAMESPACES"),
    ],
)
def test_what_cannot_work_is_refused_in_a_line(variables, right):
    ended = subprocess.run(
        [sys.executable, "-m", "services.embedded"],
        cwd=ROOT,
        env={**os.environ, "OPENLINE_PORT": "0", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert right in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not Path("auth.db").exists()
