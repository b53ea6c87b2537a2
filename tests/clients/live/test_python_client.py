"""The Python client against the whole system, through nginx, on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass

import httpx2
import pytest

from openline import (
    Client,
    Direct,
    Invalid,
    InvalidData,
    Join,
    Leave,
    Lost,
    Message,
    OpenlineError,
    Position,
    Unauthorized,
)
from tests.support.documents import blocks
from tests.support.lived import Lived
from tests.support.lossy_proxy import LossyProxy
from tests.support.stack import ROOT

pytestmark = [pytest.mark.clients, pytest.mark.server]

PATIENCE = 40.0


@dataclass
class Chat:
    text: str


async def take(channel, count):
    """The next messages of a channel."""
    async with asyncio.timeout(PATIENCE):
        messages = aiter(channel)
        return [await anext(messages) for _ in range(count)]


async def first(events, kind):
    """The first event of a kind."""
    async with asyncio.timeout(PATIENCE):
        async for event in events:
            if isinstance(event, kind):
                return event
    return None


async def collect(channel, data):
    """All that a channel gives, until it ends."""
    async for message in channel:
        data.append(message.data)


async def publish_all(stack, channel, numbers):
    """Over HTTP, in order."""

    def publish():
        for n in numbers:
            stack.publish(channel, {"n": n})

    await asyncio.to_thread(publish)


# ------------------------------------------------------------------------------------------------ what it gives


def test_what_is_published_comes_typed_and_in_order(stack, room, run):
    async def work():
        async with (
            Client(stack.url, token=stack.user_token("alice")) as client,
            client.channel(room, Chat) as channel,
        ):
            published = [await channel.publish(Chat(f"hi {n}"), conflate_key="c") for n in range(3)]
            messages = await take(channel, 3)
            assert [m.data for m in messages] == [Chat("hi 0"), Chat("hi 1"), Chat("hi 2")]
            assert [m.offset for m in messages] == [p.offset for p in published] == [1, 2, 3]
            assert [m.conflate_key for m in messages] == ["c"] * 3
            assert {m.sender for m in messages} == {"alice"}
            page = await channel.history(limit=2, reverse=True)
            assert ([m.data.text for m in page.messages], page.more) == (["hi 2", "hi 1"], True)
            assert page.position == published[-1].position

    run(work())


def test_the_newest_messages_come_first_with_last(stack, room, run):
    async def work():
        await publish_all(stack, room, range(5))
        async with (
            Client(stack.url, token=stack.user_token("alice")) as client,
            client.channel(room, last=2) as channel,
        ):
            assert [m.data["n"] for m in await take(channel, 2)] == [3, 4]

    run(work())


def test_a_message_that_does_not_fit_is_told_and_stops_nobody(stack, room, run):
    async def work():
        async with (
            Client(stack.url, token=stack.user_token("alice")) as client,
            client.channel(room, Chat) as channel,
        ):
            with pytest.raises(InvalidData, match=r"at text: expected str, got int"):
                await channel.publish(Chat(7))  # type: ignore[arg-type]
            await client.publish(room, {"text": 7})
            await client.publish(room, {"text": "right"})
            events = channel.events()
            assert (await first(events, Invalid)).data == {"text": 7}
            assert (await first(events, Message)).data == Chat("right")

    run(work())


def test_without_echo_the_ack_takes_the_messages_place(stack, room, run):
    async def work():
        async with (
            Client(stack.url, token=stack.user_token("alice")) as client,
            client.channel(room) as channel,
        ):
            results = await asyncio.gather(
                *(channel.publish({"n": n}, echo=bool(n % 2)) for n in range(40))
            )
            messages = await take(channel, 20)
            assert [m.data["n"] for m in messages] == list(range(1, 40, 2))
            assert sorted(r.offset for r in results) == list(range(1, 41))
            await client.publish(room, {"n": "last"})
            assert (await take(channel, 1))[0].offset == 41

    run(work())


def test_who_comes_and_goes_is_told(stack, room, run):
    async def work():
        async with (
            Client(stack.url, token=stack.user_token("alice")) as alice,
            alice.channel(room) as channel,
        ):
            events = channel.events()
            async with Client(stack.url, token=stack.user_token("bob")) as bob, bob.channel(room):
                joined = await first(events, Join)
                assert (joined.user, joined.count) == ("bob", 2)
                page = await channel.presence()
                assert {member.user for member in page.members} == {"alice", "bob"}
            assert (await first(events, Leave)).user == "bob"

    run(work())


def test_bytes_travel_by_messagepack(stack, room, run):
    async def work():
        async with (
            Client(stack.url, token=stack.user_token("alice"), codec="msgpack") as client,
            client.channel(room) as channel,
            Client(stack.url, token=stack.user_token("bob")) as other,
            other.channel(room) as plain,
        ):
            await channel.publish(b"\x00\xff")
            assert (await take(channel, 1))[0].data == b"\x00\xff"
            assert (await take(plain, 1))[0].data == b"\x00\xff"
            with pytest.raises(InvalidData, match="msgpack"):
                await plain.publish(b"\x00")

    run(work())


def test_channels_of_the_server_are_read_like_others(stack, run):
    async def work():
        got: list[Direct] = []
        async with Client(
            stack.url, token=stack.connect_token("carol"), on_direct=got.append
        ) as client:
            connection = await client.online()
            name = "user:carol"
            await publish_all(stack, name, [1])
            async with client.channel(name, last=1) as own:
                assert [m.data["n"] for m in await take(own, 1)] == [1]
                await publish_all(stack, name, [2])
                taken = await take(own, 1)
                assert [m.data["n"] for m in taken] == [2]
                since = own.position
            await publish_all(stack, name, [3, 4])
            async with client.channel(name, since=since) as own:
                assert [m.data["n"] for m in await take(own, 3)][-2:] == [3, 4]
            await asyncio.to_thread(
                _post, stack, f"/v1/connections/{connection.connection}/messages", {"data": "psst"}
            )
            async with asyncio.timeout(PATIENCE):
                while not got:  # noqa: ASYNC110 - a callback has nothing to wait for
                    await asyncio.sleep(0.01)
        assert got[0].data == "psst"

    run(work())


def _post(stack, path, body):
    response = httpx2.post(f"{stack.url}{path}", json=body, headers=stack.bearer())
    assert response.is_success, response.text


def test_what_is_refused_is_raised_where_it_was_asked(stack, run):
    async def work():
        async with Client(stack.url, token=stack.user_token("alice")) as client:
            with pytest.raises(OpenlineError, match="unknown_namespace"):
                await client.publish("nowhere:x", 1)
            with pytest.raises(OpenlineError, match="forbidden"):
                async with client.channel("user:bob"):
                    pass
            async with client.channel("room:twice") as twice:
                with pytest.raises(RuntimeError, match="make another"):
                    await twice.__aenter__()
            assert 0 < await client.ping() < PATIENCE

    run(work())


def test_a_bad_token_ends_the_client(stack, run):
    async def work():
        async with Client(stack.url, token="nonsense") as client:
            with pytest.raises(Unauthorized):
                await client.online()
            assert client.state == "failed"
            with pytest.raises(Unauthorized):
                await client.publish("room:x", 1)

    run(work())


def test_without_a_token_public_channels_can_be_read(stack, run):
    async def work():
        async with (
            Client(stack.url) as client,
            client.channel("public:news") as news,
        ):
            assert (await client.online()).user is None
            await publish_all(stack, "public:news", [1])
            assert (await take(news, 1))[0].data == {"n": 1}

    run(work())


def test_the_first_program_of_the_readme_says_hello(stack):
    """It is run as it stands, but for the address and the token."""
    first_block = next(b for b in blocks("clients/python/README.md") if b.language == "python")
    program = first_block.code.replace("http://127.0.0.1:8080", stack.url)
    program = program.replace('"..."', repr(stack.user_token("alice")))
    running = subprocess.Popen(
        [sys.executable, "-u", "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "clients/python/src")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "alice {'text': 'hello'}\n"
    finally:
        running.kill()
        running.communicate()


# ------------------------------------------------------------------------------------------------ what it survives


async def listen(client, room, total, everybody):
    """All messages of a channel until so many have come; fails when continuity is lost."""
    got = []
    async with client.channel(room) as channel, asyncio.timeout(120):
        await everybody.wait()
        async for event in channel.events():
            assert not isinstance(event, Lost), event
            if isinstance(event, Message):
                got.append(event)
                if len(got) == total:
                    return got
    return got


async def speak(client, room, who, count):
    """25 messages a second, each answered in its own time."""
    publishes = []
    async with asyncio.TaskGroup() as group:
        for n in range(count):
            publishes.append(group.create_task(client.publish(room, [who, n])))
            await asyncio.sleep(0.04)
    return [publish.result() for publish in publishes]


async def under(disturb, stack, room, *, speakers=5, listeners=5, seconds=6):
    """Each message once and in order, while `disturb` does its worst; the clients stay connected through nginx."""
    count = 25 * seconds
    async with contextlib.AsyncExitStack() as entered:
        tokens = [stack.connect_token(name) for name in ("ann", "ben", "cat")]

        async def enter(n):
            return await entered.enter_async_context(Client(stack.url, token=tokens[n % 3]))

        clients = [await enter(n) for n in range(speakers + listeners)]
        everybody = asyncio.Barrier(len(clients) + 1)
        async with asyncio.TaskGroup() as group:
            ears = [
                group.create_task(listen(client, room, speakers * count, everybody))
                for client in clients
            ]
            await everybody.wait()
            mouths = [group.create_task(speak(clients[n], room, n, count)) for n in range(speakers)]
            await asyncio.sleep(seconds / 3)
            await asyncio.to_thread(disturb)
    for ear in ears:
        assert [m.offset for m in ear.result()] == list(range(1, speakers * count + 1))
        assert sorted(m.data for m in ear.result()) == sorted(
            [who, n] for who in range(speakers) for n in range(count)
        )
    offsets = sorted(published.offset for mouth in mouths for published in mouth.result())
    assert offsets == list(range(1, speakers * count + 1))


@pytest.mark.timeout(240)
def test_a_gateway_killed_under_traffic_costs_nothing(stack, room, run):
    run(under(lambda: stack.kill("gateway-1", signal.SIGKILL), stack, room))


@pytest.mark.timeout(240)
def test_a_gateway_that_drains_costs_nothing(stack, room, run):
    run(under(lambda: stack.kill("gateway-2", signal.SIGTERM), stack, room))


@pytest.mark.timeout(240)
def test_redis_restarted_under_traffic_costs_nothing_that_is_not_told(stack, room, run, caplog):
    """Redis keeps what it answered for; what a reader may have missed is told, and the rest is in order."""

    async def work():
        got, lost, published = [], [], []
        async with (
            Client(stack.url, token=stack.user_token("alice")) as client,
            client.channel(room) as channel,
        ):

            async def read():
                async for event in channel.events():
                    if isinstance(event, Message):
                        got.append(event)
                    elif isinstance(event, Lost):
                        lost.append(event)
                    if got and got[-1].data == "end":
                        return

            reading = asyncio.create_task(read())
            killing = asyncio.create_task(asyncio.to_thread(stack.kill, "redis", signal.SIGKILL))
            for n in range(100):
                published.append(await client.publish(room, n))
                await asyncio.sleep(0.02)
            await killing
            await client.publish(room, "end")
            async with asyncio.timeout(60):
                await reading
        numbers = [m.data for m in got if m.data != "end"]
        assert len(set(numbers)) == len(numbers), "a message came twice"
        if not lost:
            assert numbers == list(range(100))
        offsets = [m.offset for m in got]
        assert lost or offsets == sorted(offsets)

    run(work())


@pytest.mark.timeout(180)
def test_a_token_that_ends_is_renewed_in_time(stack, room, run):
    async def work():
        asked = []

        async def provider(reason):
            asked.append(reason)
            return await asyncio.to_thread(stack.connect_token, "dora", ttl=9)

        async with (
            Client(stack.url, token=provider) as client,
            client.channel(room) as channel,
        ):
            before = (await client.online()).connection
            async with asyncio.timeout(60):
                while len(asked) < 3:  # noqa: ASYNC110 - the provider is what is watched
                    await asyncio.sleep(0.05)
            assert asked == ["first", "renew", "renew"]
            await channel.publish("still here")
            assert (await take(channel, 1))[0].data == "still here"
            assert client.connection is not None
            assert client.connection.connection == before

    run(work())


# ------------------------------------------------------------------------------------------------ several readers


def test_readers_of_one_channel_share_a_subscription_and_each_gets_every_message(stack, room, run):
    async def work():
        async with (
            Client(stack.url, token=stack.user_token("bob")) as other,
            Client(stack.url, token=stack.user_token("alice")) as client,
            other.channel(room) as watched,
        ):
            await watched.publish(Chat("before"))
            async with client.channel(room, Chat, last=1) as one:
                async with client.channel(room, Chat) as second, client.channel(room) as plain:
                    assert (await watched.presence()).count == 2
                    await second.publish(Chat("hi"))
                    both = [await take(one, 2), await take(second, 1), await take(plain, 1)]
                    assert [[m.offset for m in messages] for messages in both] == [[1, 2], [2], [2]]
                    assert both[1][0].data == Chat("hi")
                    assert both[2][0].data == {"text": "hi"}
                async with client.channel(room, since=second.position._replace(offset=0)) as late:
                    await one.publish(Chat("bye"))
                    assert [m.offset for m in await take(late, 3)] == [1, 2, 3]
                assert (await take(one, 1))[0].data == Chat("bye")
                assert (await watched.presence()).count == 2
            assert (await first(watched.events(), Leave)).user == "alice"

    run(work())


def test_readers_miss_nothing_when_the_line_breaks(stack, room, run):
    total = 60

    async def work():
        async with (
            Client(stack.url, token=stack.user_token("alice"), backoff=(0.05, 0.2)) as client,
            client.channel(room) as one,
            client.channel(room) as other,
        ):
            publishing = asyncio.create_task(publish_all(stack, room, range(total)))
            found = await asyncio.gather(take(one, 10), take(other, 5))
            client._session.line.restart("the network broke")
            found += await asyncio.gather(take(one, total - 10), take(other, total - 5))
            await publishing
        numbers = [[m.data["n"] for m in messages] for messages in found]
        assert numbers[0] + numbers[2] == numbers[1] + numbers[3] == list(range(total))

    run(work())


@pytest.mark.timeout(180)
def test_a_slow_reader_holds_up_no_other_of_its_channel_and_can_go_on_later(stack, room, run):
    total = 600

    async def work():
        async with (
            Client(stack.url, token=stack.user_token("alice"), buffer=20) as client,
            client.channel(room) as quick,
        ):
            async with client.channel(room) as slow:
                batches = [
                    {"messages": [{"channel": room, "data": n} for n in range(at, at + 100)]}
                    for at in range(0, total, 100)
                ]
                reading = asyncio.create_task(take(quick, total))
                for batch in batches:
                    await asyncio.to_thread(_post, stack, "/v1/messages", batch)
                assert [m.data for m in await reading] == list(range(total))
                got = []
                with pytest.raises(OpenlineError, match="slow_reader"):
                    await collect(slow, got)
            async with client.channel(room, since=slow.position) as again:
                got += [m.data for m in await take(again, total - len(got))]
            assert got == list(range(total))

    run(work())


def test_a_worker_with_several_readers_goes_on_where_the_one_behind_was(stack, room, run):
    async def work():
        positions: dict[str, Position] = {}
        async with Client(
            stack.url, token=stack.user_token("alice"), positions=positions
        ) as client:
            async with client.channel(room) as ahead, client.channel(room) as behind:
                await publish_all(stack, room, range(5))
                await take(ahead, 5)
                await take(behind, 2)
                assert positions[room].offset == 1  # the second one is being worked on
            assert positions[room].offset == 5
        async with (
            Client(stack.url, token=stack.user_token("alice"), positions=positions) as client,
            client.channel(room) as channel,
        ):
            await channel.publish({"n": 5})
            assert [m.data["n"] for m in await take(channel, 1)] == [5]

    run(work())


@pytest.mark.timeout(180)
def test_a_reader_who_falls_behind_gets_all_in_the_end(stack, room, run):
    """Its buffer is full, so it reads no more; whether the server waits or cuts it off, it misses nothing."""
    total, padding = 800, "x" * 8000

    async def work():
        async with (
            Client(stack.url, token=stack.user_token("alice"), buffer=20) as client,
            client.channel(room) as channel,
        ):

            def publish():
                for start in range(0, total, 40):
                    batch = [
                        {"channel": room, "data": {"n": n, "p": padding}}
                        for n in range(start, start + 40)
                    ]
                    _post(stack, "/v1/messages", {"messages": batch})

            await asyncio.to_thread(publish)
            assert len(channel._buffer) < total
            got = []
            async with asyncio.timeout(60):
                async for event in channel.events():
                    assert not isinstance(event, Lost), event
                    if isinstance(event, Message):
                        got.append(event.data["n"])
                        if len(got) == total:
                            break
            assert got == list(range(total))

    run(work())


@pytest.mark.timeout(180)
def test_whoever_publishes_for_each_message_is_not_stuck_behind_them(stack, room, run):
    """Its buffer is full and its answer is behind what comes: reading goes on for the answer's sake."""
    total = 300

    async def work():
        async with (
            Client(stack.url, token=stack.user_token("alice"), buffer=50) as client,
            client.channel(room) as channel,
        ):
            batch = [{"channel": room, "data": n} for n in range(total)]
            await asyncio.to_thread(_post, stack, "/v1/messages", {"messages": batch})
            async with asyncio.timeout(60):
                for n in range(total):
                    (message,) = await take(channel, 1)
                    assert message.data == n
                    await channel.publish(message.data, echo=False)

    run(work())


def test_a_worker_goes_on_where_it_was(stack, room, run):
    """Stopped while it works on a message, it gets that one again, and no other."""

    async def work():
        positions: dict[str, Position] = {}
        done = []

        async def worker(stop_at):
            async with (
                Client(stack.url, token=stack.user_token("alice"), positions=positions) as client,
                client.channel(room) as channel,
            ):
                async for message in channel:
                    if message.data["n"] == stop_at:
                        raise KeyError(stop_at)
                    done.append(message.data["n"])
                    if message.data["n"] == 9:
                        return

        async with (
            Client(stack.url, token=stack.user_token("alice"), positions=positions) as one,
            one.channel(room),
        ):
            pass  # from here on
        await publish_all(stack, room, range(6))
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(KeyError):
                await worker(4)
            await publish_all(stack, room, range(6, 10))
            await worker(None)
        assert done == list(range(10))
        assert positions[room].offset == 10

    run(work())


@pytest.mark.timeout(240)
def test_many_clients_come_and_go_and_leave_nothing(stack, run):
    async def work():
        tokens = [stack.connect_token(f"many-{n}") for n in range(3)]
        channel = "room:many"

        async def one(n, everybody):
            async with (
                Client(stack.url, token=tokens[n % 3]) as client,
                client.channel(channel) as room,
            ):
                await everybody.wait()
                (message,) = await take(room, 1)
                return message.offset

        everybody = asyncio.Barrier(151)
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            readers = [group.create_task(one(n, everybody)) for n in range(150)]
            await everybody.wait()
            await publish_all(stack, channel, [0])
        assert len({reader.result() for reader in readers}) == 1

    run(work())


def test_a_proxy_that_swallows_messages_is_found_out(stack, room, run):
    """The worst that can be: messages missing without a word. What comes behind the hole is told and delivered."""

    async def work():
        port = int(stack.url.rpartition(":")[2])
        with LossyProxy(port, nth=4) as proxy:
            async with (
                Client(f"http://127.0.0.1:{proxy.port}", token=stack.user_token("alice")) as client,
                client.channel(room) as channel,
            ):
                await publish_all(stack, room, range(7))
                events, seen = channel.events(), []
                async with asyncio.timeout(PATIENCE):
                    while len(seen) < 7:
                        event = await anext(events)
                        if isinstance(event, Message):
                            seen.append(event.offset)
                        elif isinstance(event, Lost):
                            seen.append((event.reason, event.position.offset))
        assert seen == [1, 2, 3, ("gap", 4), 5, 6, 7]

    run(work())


def test_tls_is_spoken_with_a_context_of_ones_own(stack, room, run, tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    trusted = ssl.create_default_context(cafile=str(certificate))

    async def work():
        with LossyProxy(int(stack.url.rpartition(":")[2]), nth=0, tls=served) as proxy:
            url = f"https://localhost:{proxy.port}"
            async with (
                Client(url, token=stack.user_token("alice"), ssl=trusted) as client,
                client.channel(room) as channel,
            ):
                await channel.publish("safe")
                assert (await take(channel, 1))[0].data == "safe"
            async with Client(url, token=stack.user_token("alice")) as stranger:
                while stranger.state != "waiting":  # noqa: ASYNC110 - states have no event
                    await asyncio.sleep(0.01)

    run(work())


# ------------------------------------------------------------------------------------------------ how it leaves


async def nobody_listens(_stack, _room, lived):
    async with Client("http://127.0.0.1:9") as client:
        while client.state != "waiting":  # noqa: ASYNC110 - states have no event
            await asyncio.sleep(0.01)
        return lived.seconds


async def the_server_says_nothing(_stack, _room, lived):
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with Client(f"http://127.0.0.1:{server.getsockname()[1]}") as client:
            await asyncio.sleep(0.1)
            assert client.state == "connecting"
            return lived.seconds


async def its_token_never_comes(stack, _room, lived):
    async def never(_reason):
        await asyncio.Event().wait()

    async with Client(stack.url, token=never):
        await asyncio.sleep(0.05)
        return lived.seconds


async def somebody_waits_for_an_answer(_stack, room, lived):
    async with Client("http://127.0.0.1:9") as client:
        waiting = asyncio.create_task(client.publish(room, 1))
        await asyncio.sleep(0.05)
        before = lived.seconds
    with pytest.raises(OpenlineError, match="disconnected"):
        await waiting
    return before


async def somebody_reads(stack, room, lived):
    """His loop ends."""

    async def read(channel):
        return [message async for message in channel]

    async with contextlib.AsyncExitStack() as entered:
        client = Client(stack.url, token=stack.user_token("alice"))
        async with client:
            channel = await entered.enter_async_context(client.channel(room))
            reading = asyncio.create_task(read(channel))
            await asyncio.sleep(0.05)
            before = lived.seconds
        assert await reading == []
        return before


@pytest.mark.parametrize(
    "what",
    [
        nobody_listens,
        the_server_says_nothing,
        its_token_never_comes,
        somebody_waits_for_an_answer,
        somebody_reads,
    ],
)
def test_leaving_takes_less_than_a_second_while(what, stack, room, run, caplog):
    async def work():
        async with asyncio.timeout(PATIENCE), Lived() as lived:
            before = await what(stack, room, lived)
            assert lived.seconds - before < 1.0

    caplog.set_level(logging.ERROR)
    run(work())
    assert not caplog.records


@pytest.mark.filterwarnings("error")
def test_a_loop_that_ends_with_a_client_in_it_closes_its_socket(stack, room):
    """As on Ctrl-C: everything is cancelled at once, and whoever waits for a task cancels it too."""

    async def abandon():
        client = Client(stack.url, token=stack.user_token("alice"))
        await client.__aenter__()
        await client.online()
        return client._session.line

    line = asyncio.run(abandon())
    assert line._socket.transport.is_closing()
    assert line._socket.connection_lost_waiter.done()


def test_a_gateway_that_hangs_does_not_hold_up_who_leaves(stack, room, run):
    async def work():
        async with Lived() as lived:
            try:
                async with (
                    Client(stack.url, token=stack.user_token("alice")) as client,
                    client.channel(room),
                ):
                    node = (await client.online()).node
                    stack.pause(node)
                    before = lived.seconds
                assert lived.seconds - before < 1.0
            finally:
                stack.resume(node)
        await asyncio.to_thread(stack.wait_ready, node)

    run(work())
