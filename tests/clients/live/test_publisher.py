"""`Publisher` and `AsyncPublisher` against the running system, and behind a server that fails after it has stored."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from openline import (
    AsyncPublisher,
    Draft,
    OpenlineError,
    Position,
    Published,
    Publisher,
    SigningKey,
    Unauthorized,
)
from openline.batches import Batch
from tests.support.documents import example
from tests.support.faulty_front import FaultyFront, faulty_front
from tests.support.recipes import environment
from tests.support.stack import ROOT, Stack
from tests.support.waiting import until, wait_until

pytestmark = pytest.mark.clients

KINDS = ["threads", "asyncio", "trio"]


@pytest.fixture
def login(stack: Stack) -> dict[str, str]:
    client = stack.run["clients"][0]
    return {"client_id": client["client_id"], "client_secret": client["client_secret"]}


@pytest.fixture
def publisher(stack: Stack, login) -> Iterator[Publisher]:
    with Publisher(stack.url, **login) as found:
        yield found


@pytest.fixture
def front(stack: Stack) -> Iterator[FaultyFront]:
    with faulty_front(stack.url) as found:
        yield found


@pytest.fixture(params=KINDS)
def do(request):
    """Calls a method of a publisher of each kind: `do(url, login, lambda publisher: publisher.publish(...))`."""

    def call(url: str, arguments: dict[str, Any], work):
        if request.param == "threads":
            with Publisher(url, **arguments) as found:
                return work(found)

        async def main():
            async with AsyncPublisher(url, **arguments) as found:
                return await work(found)

        return anyio.run(main, backend=request.param)

    return call


@pytest.fixture
def room() -> str:
    return f"room:{secrets.token_hex(6)}"


def drained(socket: Any) -> None:
    """Read until it is closed. Raises ConnectionClosed."""
    while True:
        socket.recv(timeout=30)


def stored(publisher: Publisher, channel: str) -> list[Any]:
    return [message.data for message in publisher.history(channel, limit=500).messages]


# --------------------------------------------------------------------------------------------------------- publishing


def test_a_message_is_published(stack, login, do, room, publisher):
    done = do(
        stack.url,
        login,
        lambda p: p.publish(room, {"n": 1}, key="k", conflate_key="c", tags={"a": "b"}),
    )
    assert (done.channel, done.offset, done.duplicate) == (room, 1, False)
    (message,) = publisher.history(room).messages
    assert (message.data, message.key, message.tags) == ({"n": 1}, "k", {"a": "b"})
    assert message.conflate_key == "c"


def test_the_readme_publishes(stack, publisher, room, monkeypatch, capsys):
    (block,) = example("clients/python/README.md", "Publishing from a back end", 0)
    for name, value in environment(stack).items():
        monkeypatch.setenv(name, value)
    found: dict[str, Any] = {}
    exec(block.code.replace("room:lobby", room).replace("order-7", room), found)
    assert capsys.readouterr().out == f"{found['stored'].epoch} 1\n"
    assert publisher.history(room, limit=1, reverse=True).offset == 2502
    assert found["token"].count(".") == 2


def test_the_measurement_of_the_readme_measures(stack):
    ran = subprocess.run(
        [sys.executable, "clients/python/benchmarks/publishing.py"],
        cwd=ROOT,
        env={
            **os.environ,
            **environment(stack),
            "PYTHONPATH": "clients/python/src",
            "ROUNDS": "1",
            "MESSAGES": "500",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr
    rates = re.findall(r": ([0-9,]+) a second .*, [0-9]+ us of CPU each", ran.stdout)
    assert len(rates) == 3, ran.stdout
    assert all(int(rate.replace(",", "")) > 0 for rate in rates)


def test_bytes_are_published_as_bytes(stack, login, do, room, publisher):
    do(stack.url, login, lambda p: p.publish(room, b"\x00\xff", key="k"))
    assert stored(publisher, room) == [b"\x00\xff"]


def test_the_same_key_stores_once(publisher, room):
    first = publisher.publish(room, 1, key="same")
    second = publisher.publish(room, 1, key="same")
    assert (second.duplicate, second.position) == (True, first.position)


def test_an_ephemeral_message_has_no_position(publisher, room):
    assert publisher.publish(room, 1, ephemeral=True).position is None


def test_an_expected_position_that_has_passed_is_a_conflict_with_the_present_one(publisher, room):
    first = publisher.publish(room, 1)
    second = publisher.publish(room, 2, expect=first.position)
    with pytest.raises(OpenlineError) as refused:
        publisher.publish(room, 3, expect=first.position)
    assert (refused.value.code, refused.value.position) == ("conflict", second.position)


def test_any_number_of_messages_is_published_in_order(stack, login, do, room, publisher):
    count = 2500
    drafts = [Draft(room, number) for number in range(count)]
    outcomes = do(stack.url, login, lambda p: p.publish_many(drafts))
    assert [one.offset for one in outcomes] == list(range(1, count + 1))
    assert stored(publisher, room)[-1] is not None
    assert publisher.history(room, limit=1, reverse=True).messages[0].data == count - 1


def test_large_messages_leave_in_calls_that_the_front_door_takes(publisher, room):
    outcomes = publisher.publish_many(Draft(room, "x" * 60_000) for _ in range(40))
    assert [one.offset for one in outcomes] == list(range(1, 41))


def test_one_bad_message_of_many_fails_alone(stack, login, do, room, publisher):
    drafts = [
        Draft(room, 1),
        Draft("nowhere:x", 2),
        Draft("lobby", 3),
        Draft(room, "x" * 70_000),
        Draft(room, 5),
    ]
    outcomes = do(stack.url, login, lambda p: p.publish_many(drafts))
    codes = [getattr(one, "code", "stored") for one in outcomes]
    assert codes == ["stored", "unknown_namespace", "bad_request", "too_large", "stored"]
    assert stored(publisher, room) == [1, 5]


def test_what_is_nested_too_deep_does_not_spoil_its_batch(publisher, room):
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    outcomes = publisher.publish_many([Draft(room, 1), Draft(room, deep), Draft(room, 3)])
    assert [getattr(one, "code", "stored") for one in outcomes] == [
        "stored",
        "invalid_data",
        "stored",
    ]
    assert stored(publisher, room) == [1, 3]


def test_a_broadcast_reaches_each_channel(stack, login, do, room, publisher):
    rooms = [f"{room}-{number}" for number in range(3)]
    outcomes = do(stack.url, login, lambda p: p.broadcast([*rooms, "nowhere:x"], {"hi": 1}))
    assert [getattr(one, "code", "stored") for one in outcomes] == ["stored"] * 3 + [
        "unknown_namespace"
    ]
    assert [stored(publisher, one) for one in rooms] == [[{"hi": 1}]] * 3


def test_a_notification_and_a_personal_message_arrive(stack, login, do, publisher):
    topic = f"orders-{secrets.token_hex(4)}"
    do(stack.url, login, lambda p: p.notify(topic, title="new", total=3))
    (message,) = publisher.history(f"notify:{topic}").messages
    assert (message.data["title"], message.data["type"], message.data["total"]) == (
        "new",
        "notification",
        3,
    )
    do(stack.url, login, lambda p: p.to_user(topic, {"hi": 1}))
    assert stored(publisher, f"user:{topic}") == [{"hi": 1}]


def test_a_batch_is_collected_by_hand(publisher, room):
    with publisher.batch() as batch:
        for number in range(3):
            batch.publish(room, number)
        assert stored(publisher, room) == []
    assert [one.offset for one in batch.outcomes] == [1, 2, 3]


def test_a_batch_with_a_bad_message_raises_and_stores_the_others(publisher, room):
    batch = Batch()
    for channel in (room, "nowhere:x", room):
        batch.publish(channel, 1)
    outcomes = publisher.publish_many(batch)
    with pytest.raises(OpenlineError, match="unknown_namespace"):
        batch.settle(outcomes)
    assert [isinstance(one, Published) for one in batch.outcomes] == [True, False, True]


def test_a_batch_whose_block_raises_sends_nothing(publisher, room):
    def collect():
        with publisher.batch() as batch:
            batch.publish(room, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        collect()
    assert stored(publisher, room) == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_tasks_publish_leaves_in_few_calls_and_fails_alone(
    front, login, room, publisher, backend
):
    async def main():
        codes = {}
        async with AsyncPublisher(front.url, **login) as found:

            async def one(number):
                channel = "nowhere:x" if number == 7 else room
                try:
                    await found.publish(channel, number)
                except OpenlineError as error:
                    codes[number] = error.code

            async with anyio.create_task_group() as tasks:
                for number in range(200):
                    tasks.start_soon(one, number)
        return codes

    assert anyio.run(main, backend=backend) == {7: "unknown_namespace"}
    assert len(front.published()) <= 3
    assert sorted(stored(publisher, room)) == [n for n in range(200) if n != 7]


async def test_each_task_keeps_its_order(stack, login, publisher, room):
    async with AsyncPublisher(stack.url, **login) as found:

        async def many(name):
            for number in range(30):
                await found.publish(room, [name, number])

        await asyncio.gather(*(many(name) for name in range(10)))
    messages = stored(publisher, room)
    for name in range(10):
        assert [number for who, number in messages if who == name] == list(range(30))


def test_one_publisher_serves_one_event_loop_after_the_other(stack, login, room):
    shared = AsyncPublisher(stack.url, **login)

    async def main():
        stored = await shared.publish(room, 1)
        await shared.aclose()
        return stored.offset

    assert [anyio.run(main), anyio.run(main, backend="trio"), anyio.run(main)] == [1, 2, 3]


# ------------------------------------------------------------------------------------------------------------ retries


@pytest.mark.parametrize(
    "fault", ["503 before", "503 after", "429 before", "cut before", "cut after", "hang after"]
)
def test_a_retry_stores_once(front, login, do, publisher, fault):
    room = f"room:{secrets.token_hex(6)}"
    front.faults.append(fault)
    arguments = {**login, "timeout": 2.0 if fault.startswith("hang") else 20.0, "patience": 60.0}
    done = do(front.url, arguments, lambda p: p.publish(room, {"n": 1}))
    assert done.offset == 1
    assert done.duplicate is fault.endswith("after")
    assert stored(publisher, room) == [{"n": 1}]
    assert len({request.body for request in front.published()}) == 1


@pytest.mark.parametrize("fault", ["503 after", "cut after"])
def test_a_retry_of_many_stores_each_once(front, login, do, publisher, fault):
    room = f"room:{secrets.token_hex(6)}"
    front.faults.extend([fault, "none", fault])
    drafts = [Draft(room, number) for number in range(1300)]
    outcomes = do(front.url, login, lambda p: p.publish_many(drafts))
    assert [one.offset for one in outcomes] == list(range(1, 1301))
    assert publisher.history(room, limit=1, reverse=True).offset == 1300


def test_faults_without_end_come_to_an_end(front, login, do, room):
    front.faults.extend(["503 before"] * 10)
    with pytest.raises(OpenlineError) as refused:
        do(front.url, {**login, "attempts": 3}, lambda p: p.publish(room, 1))
    assert (refused.value.code, refused.value.temporary) == ("unavailable", True)
    assert len(front.published()) == 3


def test_patience_bounds_a_server_that_hangs(front, login, do, room):
    front.faults.extend(["hang after"] * 10)
    with pytest.raises(OpenlineError, match="did not answer in time") as refused:
        do(
            front.url,
            {**login, "timeout": 0.6, "patience": 1.0, "attempts": 9},
            lambda p: p.publish(room, 1),
        )
    assert refused.value.code == "timeout"
    assert len(front.published()) <= 3, "of nine attempts"


def test_a_refusal_is_not_tried_again(front, login, do):
    with pytest.raises(OpenlineError) as refused:
        do(front.url, login, lambda p: p.publish("nowhere:x", 1))
    assert refused.value.code == "unknown_namespace"
    assert "nowhere" in refused.value.message
    assert len(front.published()) == 1


def test_nobody_listening_is_told_by_address(do, login):
    arguments = {**login, "attempts": 2, "patience": 2.0}
    with pytest.raises(OpenlineError, match=r"http://127\.0\.0\.1:9 cannot be reached") as refused:
        do("http://127.0.0.1:9", arguments, lambda p: p.publish("room:a", 1))
    assert refused.value.temporary


def test_a_cancelled_task_harms_no_other_and_what_it_carried_is_stored_once(
    front, login, room, publisher
):
    async def main():
        front.faults.append("hang after")
        async with AsyncPublisher(front.url, **login) as found:
            leader = asyncio.create_task(found.publish(room, "first"))
            follower = asyncio.create_task(found.publish(room, "second"))
            await until(front.published)
            leader.cancel()
            await follower

    asyncio.run(main())
    assert stored(publisher, room) in (["first", "second"], ["second", "first"])
    assert len(front.published()) == 2


# -------------------------------------------------------------------------------------------------- threads and forks


def test_threads_share_a_publisher(front, login, room, publisher):
    with Publisher(front.url, **login) as shared, ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: shared.publish(room, n), range(100)))
    assert sorted(one.offset for one in outcomes) == list(range(1, 101))
    assert sorted(stored(publisher, room)) == list(range(100))
    assert sum(request.path == "/auth/token" for request in front.requests) == 1


# Python warns of a fork beside threads from 3.12 on: that is what these tests are about.
FORKS_WITH_THREADS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def _in_child(shared: Publisher, channel: str, answers: Any) -> None:
    answers.put([shared.publish(channel, ["child", number]).offset for number in range(20)])


@FORKS_WITH_THREADS
def test_a_forked_child_has_connections_of_its_own(front, login, room, publisher):
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with Publisher(front.url, **login) as shared:
        shared.publish(room, "before")
        child = context.Process(target=_in_child, args=(shared, room, answers))
        child.start()
        for number in range(20):
            shared.publish(room, ["parent", number])
        offsets = answers.get()
        child.join(60)
        assert child.exitcode == 0
    assert offsets == sorted(set(offsets))
    assert len(stored(publisher, room)) == 41
    by_port: dict[int, set[bytes]] = {}
    for request in front.published():
        by_port.setdefault(request.port, set()).add(
            b"child" if b"child" in request.body else b"parent"
        )
    assert all(len(who) == 1 for who in by_port.values())


@FORKS_WITH_THREADS
def test_a_child_may_publish_while_a_thread_of_its_parent_held_the_lock(front, login, room):
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with Publisher(front.url, **login) as shared:
        shared._renewing.acquire()
        child = context.Process(target=_in_child, args=(shared, room, answers))
        child.start()
        assert len(answers.get()) == 20
        child.join(60)
        shared._renewing.release()


# --------------------------------------------------------------------------------------------- reading and control


def test_presence_channels_and_disconnect(stack, login, do, publisher, room):
    user = f"carol-{secrets.token_hex(4)}"
    token = publisher.token(user, info={"name": "Carol"}, ttl=60)
    name = room.partition(":")[2]
    with connect(f"{stack.ws}/ws/rooms/{name}?token={token}") as socket:
        socket.recv(timeout=30)
        page = do(stack.url, login, lambda p: p.presence(room))
        assert [(member.user, member.info) for member in page.members] == [
            (user, {"name": "Carol"})
        ]
        wait_until(lambda: do(stack.url, login, lambda p: p.channels(room)).channels)
        found = do(stack.url, login, lambda p: p.channels(room))
        assert [(one.channel, one.subscribers) for one in found.channels] == [(room, 1)]
        do(stack.url, login, lambda p: p.disconnect(user=user, reason="bye"))
        with pytest.raises(ConnectionClosed):
            drained(socket)
        assert (socket.close_code, socket.close_reason) == (4004, "bye")


def test_a_gateway_is_drained_by_its_name_alone(stack, login, do):
    with pytest.raises(OpenlineError, match="living: gateway-1") as raised:
        do(stack.url, login, lambda p: p.drain_node("nobody"))
    assert (raised.value.code, raised.value.temporary) == ("not_found", False)
    assert do(stack.url, login, lambda p: p.undo_drain("gateway-1")) >= 0


def test_history_goes_on_from_a_position(publisher, room):
    publisher.publish_many(Draft(room, number) for number in range(5))
    page = publisher.history(room, limit=2)
    assert ([message.data for message in page.messages], page.more) == ([0, 1], True)
    after = Position(page.epoch, page.messages[-1].offset)
    assert [message.data for message in publisher.history(room, since=after).messages] == [2, 3, 4]


# ------------------------------------------------------------------------------------------------------------- tokens


def test_a_minted_token_and_its_ticket_open_a_connection(stack, login, do, room):
    token = do(
        stack.url, login, lambda p: p.token("carol", channels={"room:*": ["subscribe"]}, ttl=60)
    )
    ticket = do(stack.url, login, lambda p: p.ticket(token))
    with connect(f"{stack.ws}/ws/rooms/{room.partition(':')[2]}?ticket={ticket}") as socket:
        assert '"user":"carol"' in socket.recv(timeout=30).replace(" ", "")


def test_a_wrong_secret_is_unauthorized(stack, login, do, room):
    with pytest.raises(Unauthorized):
        do(stack.url, {**login, "client_secret": "wrong"}, lambda p: p.publish(room, 1))


def test_a_token_that_was_revoked_is_replaced(stack, login, room):
    with Publisher(stack.url, **login) as found:
        found.publish(room, 1)
        old = found._access.value
        answer = httpx2.post(
            f"{stack.url}/auth/revoke",
            data={"token": old},
            auth=(login["client_id"], login["client_secret"]),
        )
        assert answer.is_success, answer.text
        # The next second's token is good; the publisher hears of a revocation a moment after auth.
        done = threading.Event()
        while found._access.value == old and not done.wait(0.2):
            found.publish(room, 2)
        assert found.publish(room, 3).offset >= 2


def test_a_given_token_is_used_as_it_is(stack, do, room):
    arguments = {"token": stack.client_token("read")}
    with pytest.raises(OpenlineError, match="scope") as refused:
        do(stack.url, arguments, lambda p: p.publish(room, 1))
    assert refused.value.code == "forbidden"


@pytest.fixture(scope="module")
def shared_secret(tmp_path_factory) -> Iterator[tuple[Stack, str]]:
    secret = secrets.token_urlsafe(32)
    settings = {"OPENLINE_AUTH_ALGORITHM": "HS256", "OPENLINE_HS256_SECRET": secret}
    with Stack(tmp_path_factory.mktemp("hs256"), **settings) as running:
        yield running, secret


def test_a_key_signs_for_users_and_for_the_publisher(shared_secret, room):
    running, secret = shared_secret
    with Publisher(running.url, key=SigningKey.hs256(secret)) as found:
        token = found.token("carol", ttl=60)
        with connect(f"{running.ws}/ws/rooms/{room.partition(':')[2]}?token={token}") as socket:
            socket.recv(timeout=30)
            assert found.publish(room, {"hi": 1}).offset == 1
            while '"hi"' not in socket.recv(timeout=30):
                pass


def test_no_secret_is_in_what_is_shown(login):
    found = Publisher("http://127.0.0.1:9", **login)
    shown = f"{found!r} {vars(found)!r}"
    found.close()
    assert login["client_secret"] not in shown
    assert os.environ.get("OPENLINE_CLIENT_SECRET") is None
