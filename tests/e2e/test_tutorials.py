"""Each row of docs/from-the-tutorials.md, run as the page shows it: a heading, a test of the same name."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from openline import Publisher, SigningKey
from tests.support.documents import Block, Follower, blocks, following, headings
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

PAGE = "docs/from-the-tutorials.md"
SECRET = "a secret that the back end and the services share"


def name(heading: str) -> str:
    return "test_" + re.sub(r"[^a-z]+", "_", heading.lower())


def row(heading: str, count: int = 1) -> list[Block]:
    """The examples of a row, which has this many."""
    found = blocks(PAGE, heading)
    assert len(found) == count
    return found


@pytest.fixture
def reader(stack: Stack, tmp_path: Path) -> Iterator[Follower]:
    """Somebody who follows the page on the shared system."""
    with following(stack, tmp_path) as follower:
        yield follower


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system whose namespaces file has what the page adds to it, and that asks for a sign of life each second."""
    folder = tmp_path_factory.mktemp("typed")
    shipped = (ROOT / "deploy/namespaces.toml").read_text("utf-8")
    added = row("Typed JSON messages", 2)[0].code
    (folder / "namespaces.toml").write_text(f"{shipped}\n{added}", encoding="utf-8")
    settings = {
        "OPENLINE_NAMESPACES": str(folder / "namespaces.toml"),
        "OPENLINE_PING_SECONDS": "1",
        "OPENLINE_HS256_SECRET": SECRET,
    }
    with Stack(folder, **settings) as running:
        yield running


def hear(socket: ClientConnection, type: str) -> dict[str, Any]:
    """The next event of this type."""
    while True:
        event: dict[str, Any] = json.loads(socket.recv(timeout=30))
        if event["type"] == type:
            return event


def heard_soon(socket: ClientConnection, type: str, stack: Stack) -> dict[str, Any]:
    """The same, before four seconds are over in which the gateways did not stand still."""
    for _ in range(4 * 20):
        try:
            event: dict[str, Any] = json.loads(socket.recv(timeout=1 / 20))
        except TimeoutError:
            for url in stack.gateways:
                httpx2.get(f"{url}/healthz")
        else:
            if event["type"] == type:
                return event
    raise AssertionError(f"no {type} came")


def room(reader: Follower, user: str = "alice", more: str = "") -> ClientConnection:
    token = reader.stack.user_token(user)
    return connect(f"{reader.stack.ws}/ws/rooms/{reader.room}?token={token}{more}", proxy=None)


@contextmanager
def native(
    reader: Follower, token: str | None = None, query: str = ""
) -> Iterator[ClientConnection]:
    with connect(f"{reader.stack.ws}/ws{query}", proxy=None) as socket:
        socket.send(json.dumps({"type": "auth"} | ({"token": token} if token else {})))
        hear(socket, "connected")
        yield socket


def publish(reader: Follower, data: Any) -> dict[str, Any]:
    return reader.stack.publish(f"room:{reader.room}", data)


# -------------------------------------------------------------------------------------------------------- the page


def test_each_row_has_a_test_and_each_test_a_row() -> None:
    rows = {name(heading) for heading in headings(PAGE)}
    tests = {key for key in vars(sys.modules[__name__]) if key.startswith("test_")}
    about_the_page = {key for key in tests if key.startswith("test_each_")}
    assert tests - about_the_page == rows


def test_each_row_is_listed_at_the_top() -> None:
    linked = set(re.findall(r"\]\(#([a-z-]+)\)", (ROOT / PAGE).read_text("utf-8")))
    anchors = {re.sub(r"[^a-z -]", "", h.lower()).replace(" ", "-") for h in headings(PAGE)}
    assert linked == anchors


def test_each_token_of_the_page_comes_from_its_first_lines(reader: Follower) -> None:
    (first,) = blocks(PAGE, "From the tutorials")
    reader.environment = {
        key: value
        for key, value in reader.environment.items()
        if key not in ("ALICE", "BOB", "BACKEND")
    }
    said = reader.run(first, after='echo "$ALICE"; echo "$BOB"; echo "$BACKEND"')
    assert [len(token.split(".")) for token in said.splitlines()] == [3, 3, 3]


def test_each_example_works_after_those_before_it(typed: Stack, tmp_path: Path) -> None:
    """In one room, as somebody has it who goes through the page; what goes on for ever is left to the rows."""
    printed: dict[str, str] = {}
    with following(typed, tmp_path) as reader:
        for block in blocks(PAGE):
            endless = block.code.startswith("websockets") or "curl -N" in block.code
            if block.language not in ("sh", "python") or endless or "while code" in block.code:
                continue
            shown = block.code.replace("\nwebsockets", "\n: websockets")
            said = reader.run(block._replace(code=shown))
            printed[block.heading] = said
    assert printed["Binary messages"] == f"{bytes(range(3))!r}\n"
    assert json.loads(printed["Typed JSON messages"])["code"] == "invalid_data"
    assert "from the first gateway" in printed["Fan-out across workers"]


# -------------------------------------------------------------------------------------------------------- the rows


def test_echo(reader: Follower) -> None:
    (example,) = row("Echo")
    assert reader.run(example) == "hello\n"


def test_connect_receive_disconnect(reader: Follower) -> None:
    (example,) = row("Connect, receive, disconnect")
    with room(reader, "bob") as bob:
        hear(bob, "connected")
        said = reader.run(example).splitlines()
        assert [hear(bob, "join")["user"], hear(bob, "message")["data"]] == [
            "alice",
            {"text": "hello"},
        ]
        # The example closes cleanly, so nobody waits for the grace.
        assert heard_soon(bob, "leave", reader.stack)["user"] == "alice"
    assert "'type': 'connected'" in said[0]
    assert "'from': 'alice'" in said[1]


def test_connection_manager(reader: Follower) -> None:
    (example,) = row("Connection manager")
    with room(reader) as alice, room(reader, "bob") as bob:
        hear(alice, "connected")
        hear(bob, "connected")
        channel = f"room:{reader.room}"
        wait_until(lambda: subscribers(reader.stack, channel) == 2)
        answer = json.loads(reader.run(example))
        assert answer["subscribers"] == 2
        for socket in (alice, bob):
            assert hear(socket, "message")["offset"] == answer["offset"]


def subscribers(stack: Stack, channel: str) -> int:
    """How many the store counts now."""
    answer = httpx2.get(f"{stack.url}/v1/channels?prefix={channel}", headers=stack.bearer())
    return sum(int(entry["subscribers"]) for entry in answer.json()["channels"])


def test_broadcast(reader: Follower) -> None:
    (example,) = row("Broadcast")
    with native(reader) as nobody, native(reader, reader.stack.user_token()) as alice:
        answer = json.loads(reader.run(example))
        for socket in (nobody, alice):
            message = hear(socket, "message")
            assert (message["channel"], message["offset"]) == ("public:all", answer["offset"])
            assert message["data"] == {"text": "back in five minutes"}


def test_chat_by_user_name(reader: Follower) -> None:
    terminals = [reader.start(example) for example in row("Chat by user name", 2)]
    for terminal in terminals:
        terminal.wait_for('"type":"connected"')
    terminals[0].type("good morning")
    for terminal in terminals:
        terminal.wait_for("good morning")
        assert '"from":"alice"' in terminal.printed
    terminals[1].type("and to you")
    terminals[0].wait_for("and to you")
    assert '"from":"bob"' in terminals[0].printed


def test_rooms_with_members(reader: Follower) -> None:
    (example,) = row("Rooms with members")
    with room(reader) as alice:
        hear(alice, "connected")
        with room(reader, "bob") as bob:
            assert hear(alice, "join")["user"] == "bob"
            hear(bob, "connected")
            answer = json.loads(reader.run(example))
            assert sorted(member["user"] for member in answer["members"]) == ["alice", "bob"]
        assert hear(alice, "leave")["count"] == 1


def test_typed_json_messages(typed: Stack, tmp_path: Path) -> None:
    _, example = row("Typed JSON messages", 2)
    with following(typed, tmp_path) as reader:
        refused = json.loads(reader.run(example))
        assert (refused["status"], refused["code"]) == (422, "invalid_data")
        assert "quantity" in refused["detail"]
        stored = example._replace(code=example.code.replace('"quantity": 0', '"quantity": 1'))
        assert json.loads(reader.run(stored))["offset"] == 1
        # A frame that cannot be read costs its sender one error.
        with native(reader, typed.user_token()) as socket:
            socket.send("{")
            assert hear(socket, "error")["code"] == "bad_request"
            socket.send('{"type": "ping", "id": 7}')
            assert hear(socket, "pong")["id"] == 7


def test_typing_indicator(reader: Follower) -> None:
    (example,) = row("Typing indicator")
    after = """
try:
    while True:
        frame = bob.recv(timeout=0.5)
        if '"typing"' in frame: print(frame)
except TimeoutError: pass
"""
    inside = example._replace(
        code=example.code + "".join(f"    {line}\n" for line in after.splitlines())
    )
    # Twenty times said, once heard.
    assert reader.run(inside).splitlines() == ["alice is typing"]
    history = reader.stack.publish(f"room:{reader.room}", "first")
    assert history["offset"] == 1


def test_notifications_by_topic(reader: Follower) -> None:
    listen, send = row("Notifications by topic", 2)
    listener = reader.start(listen)
    while not (answer := json.loads(reader.run(send)))["sent"]:
        time.sleep(0.1)
    listener.wait_for('"branch":"main"')
    assert '"type":"notification"' in listener.printed
    assert answer["offset"] >= 1
    # Who was offline asks for what is kept.
    late = reader.start(listen._replace(code=listen.code.replace("?token", "?last=10&token")))
    late.wait_for('"level":"success"')


def test_personal_messages(reader: Follower) -> None:
    (example,) = row("Personal messages")
    token = reader.stack.user_token()
    bob_token = reader.stack.user_token("bob")
    with (
        native(reader, token) as phone,
        native(reader, token, "?sid=b") as laptop,
        native(reader, bob_token) as bob,
    ):
        reader.run(example)
        for device in (phone, laptop):
            message = hear(device, "message")
            assert message["channel"] == "user:alice"
            assert message["data"] == {"text": "your parcel is here"}
        bob.send('{"type": "subscribe", "channel": "user:alice"}')
        assert hear(bob, "error")["code"] == "forbidden"


def test_token_in_the_query(reader: Follower) -> None:
    (example,) = row("Token in the query")
    before, command = example.code.strip().rsplit("\n", 1)
    shown = f'{before}\necho "$TICKET" > ticket\n{command}'
    example = example._replace(code=shown.replace("> ticket", f"> {reader.folder}/ticket"))
    terminal = reader.start(example)
    terminal.wait_for('"user":"alice"')
    ticket = (reader.folder / "ticket").read_text("utf-8").strip()
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{reader.stack.ws}/ws/rooms/{reader.room}?ticket={ticket}", proxy=None)
    assert refused.value.response.status_code == 401
    token = reader.stack.user_token()
    with room(reader) as alice:
        hear(alice, "connected")
    for log in ("nginx-access", "gateway-1", "gateway-2"):
        assert ticket not in reader.stack.log(log)
        assert token not in reader.stack.log(log)


def test_token_in_a_cookie(reader: Follower) -> None:
    (example,) = row("Token in a cookie")
    assert '"user":"alice"' in reader.run(example)
    foreign = example._replace(code=example.code.replace('origin="http://', 'origin="http://evil.'))
    with pytest.raises(AssertionError, match="HTTP 403"):
        reader.run(foreign)


def test_token_in_the_first_message(reader: Follower) -> None:
    (example,) = row("Token in the first message")
    said = reader.run(example)
    assert "'user': 'alice'" in said
    assert "user:alice" in said
    with connect(f"{reader.stack.ws}/ws", proxy=None) as socket:
        socket.send('{"type": "auth", "token": "wrong"}')
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001


def test_heartbeat(reader: Follower, typed: Stack, tmp_path: Path) -> None:
    (example,) = row("Heartbeat")
    assert reader.run(example).splitlines() == ["25", "{'type': 'pong', 'id': 1}"]
    with following(typed, tmp_path) as impatient, native(impatient) as silent:
        assert hear(silent, "ping") == {"type": "ping"}


def test_rate_limit(reader: Follower) -> None:
    (example,) = row("Rate limit")
    with native(reader) as beside:
        code, seconds = reader.run(example).split()
        beside.send('{"type": "ping", "id": 1}')
        assert hear(beside, "pong")["id"] == 1
    assert code == "rate_limited"
    assert 0 < float(seconds) < 10


def test_binary_messages(reader: Follower) -> None:
    (example,) = row("Binary messages")
    assert reader.run(example) == f"{bytes(range(3))!r}\n"
    with room(reader, more="&last=1") as alice:
        message = hear(alice, "message")
    assert (message["data"], message["encoding"]) == ("AAEC", "base64")


def test_fan_out_across_workers(reader: Follower) -> None:
    (example,) = row("Fan-out across workers")
    said = reader.run(example)
    assert said == "alice 1 {'text': 'from the first gateway'}\n"


def test_server_sent_events(reader: Follower) -> None:
    """The stream in a terminal; the one in a browser is in test_docs.py."""
    listen, _ = row("Server-Sent Events", 2)
    listener = reader.start(listen)
    listener.wait_for(f'"channel":"room:{reader.room}"')
    publish(reader, "the first")
    listener.wait_for('"data":"the first"}\n\n')
    cursor = re.findall(r"^id: (\S+)$", listener.printed, re.MULTILINE)[-1]
    publish(reader, "missed")
    address = f"{reader.stack.url}/sse?channel=room:{reader.room}&channel=public:all"
    headers = {"Last-Event-ID": cursor, **reader.stack.bearer(reader.stack.user_token())}
    with httpx2.stream("GET", address, headers=headers) as again:
        data = (line for line in again.iter_lines() if line.startswith("data: "))
        kept = [json.loads(next(data).removeprefix("data: ")) for _ in range(3)]
    assert kept[2]["data"] == "missed"


def test_reconnecting_client(reader: Follower) -> None:
    (example,) = row("Reconnecting client")
    client = reader.start(example)
    while "number 0" not in client.printed:
        publish(reader, "number 0")
        time.sleep(0.2)
    for number in (1, 2):
        reader.stack.kill(f"gateway-{number}")
        for _ in range(20):
            publish(reader, f"after {number}")
    publish(reader, "the last")
    client.wait_for("the last", timeout=60)
    lines = [line for line in client.printed.splitlines() if line.startswith("after")]
    assert lines == ["after 1"] * 20 + ["after 2"] * 20


NAMED = {
    "guests": "anyone",
    "send_to": "/v1/connections/{connection}/messages",
    "but the sender": '"echo": false',
    "acknowledgements": "`ack`",
    "TestClient": "guides/testing.md",
    "HS256": "OPENLINE_HS256_SECRET",
    "Protobuf": "bytes",
    "collaborative": "Yjs",
    "database": "recipes/sqlalchemy.md",
    "counting": "`subscribers`",
}


def test_what_else_they_name(reader: Follower, typed: Stack) -> None:
    text = (ROOT / PAGE).read_text("utf-8").partition("## What else they name")[2]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    for named, answer in NAMED.items():
        (line,) = [line for line in lines if named in line.split("|")[1]]
        assert answer in line.split("|")[2], line
    (example,) = row("What else they name")
    assert reader.run(example).splitlines() == ["ack hi", "only here", "2"]
    # Tokens of a back end that shares a secret with the services, beside those of auth.
    with Publisher(typed.url, key=SigningKey.hs256(SECRET)) as back_end:
        token = back_end.token("guest-81f3")
    with connect(f"{typed.ws}/ws/rooms/shared?token={token}", proxy=None) as socket:
        assert hear(socket, "connected")["user"] == "guest-81f3"
    with connect(f"{typed.ws}/ws/rooms/shared?token={typed.user_token()}", proxy=None) as socket:
        assert hear(socket, "connected")["user"] == "alice"
