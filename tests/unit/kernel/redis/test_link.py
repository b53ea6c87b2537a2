"""A link: what it sends again, and what it must not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import MovedError, NoScriptError, ResponseError, TryAgainError
from redis.exceptions import TimeoutError as Late

from services.kernel.broker.redis.scripts import everything
from services.kernel.redis import link as link_module
from services.kernel.redis.connections import Dial, Identity
from services.kernel.redis.link import BATCH, Command, Link, _unserved
from services.kernel.redis.redirects import REDIRECTS
from services.kernel.redis.scripts import Script
from services.kernel.redis.store_url import Address
from tests.support.redis_server import start_redis
from tests.support.waiting import until

pytestmark = pytest.mark.server

GONE = NoScriptError("x")


def lanes(*names: str) -> list[Command]:
    return [Command((), lanes=(name,) if name else ()) for name in names]


@pytest.mark.parametrize(
    ("commands", "replies", "again"),
    [
        (lanes("a", "b", "a"), [GONE, GONE, GONE], [0, 1, 2]),
        (lanes("a", "b", "a"), [1, 2, 3], []),
        # The script came back in the middle: what was overtaken in its lane is given up, or it would come out of order.
        (lanes("a", "b", "a", "a"), [GONE, GONE, 1, GONE], [1, 3]),
        (lanes("a", "a"), [ResponseError("x"), GONE], [1]),
        (lanes("a", "a"), [GONE, ResponseError("x")], []),
        (lanes("", ""), [GONE, 1], [0]),
    ],
)
def test_forgotten_scripts_are_sent_again_in_the_order_of_their_lane(commands, replies, again):
    assert _unserved(commands, replies, (NoScriptError,)) == again


MOVED, LATER, LOST = MovedError("5 h:1"), TryAgainError("x"), Lost("x")


@pytest.mark.parametrize(
    ("commands", "replies", "again"),
    [
        (lanes("a", "b", "a"), [1, MOVED, MOVED], [1, 2]),
        (lanes("a", "b", "a"), [LATER, LATER, MOVED], [0, 1, 2]),
        # What came later may have run: then the earlier one would come out of order.
        (lanes("a", "b", "a"), [LATER, LATER, 1], [1]),
        (lanes("a", "b", "a"), [MOVED, MOVED, LOST], [1]),
        (lanes("a", "a"), [GONE, MOVED], [1]),
    ],
)
def test_what_is_served_elsewhere_is_sent_again_in_the_order_of_its_lane(commands, replies, again):
    assert _unserved(commands, replies, REDIRECTS) == again


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([1, MOVED, LATER, LOST])), max_size=12
    )
)
def test_nothing_is_sent_again_behind_what_may_have_run_in_its_lane(drawn):
    commands, replies = lanes(*(name for name, _ in drawn)), [reply for _, reply in drawn]
    again = _unserved(commands, replies, REDIRECTS)
    assert again == sorted(again)
    for place in again:
        later = [reply for name, reply in drawn[place:] if name == drawn[place][0]]
        assert all(isinstance(reply, REDIRECTS) for reply in later)


async def accept(_: Any) -> None:
    """A check that finds nothing wrong."""


def unasked() -> None:
    """No server here is demoted."""
    raise AssertionError


@pytest.fixture
async def link(tmp_path):
    with start_redis(tmp_path) as server:
        link = Link(Dial(server.url), accept, demoted=unasked, scripts=everything())
        yield link
        await link.close()


async def test_replies_come_in_the_order_of_commands(link):
    calls = [link.call([Command(("INCR", "n")) for _ in range(3)]) for _ in range(4)]
    assert await asyncio.gather(*calls) == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]
    assert await link.call([]) == []


async def test_more_than_a_batch_is_sent_in_parts(link):
    calls = [link.call([Command(("INCR", "n"))]) for _ in range(BATCH + 10)]
    assert [reply for (reply,) in await asyncio.gather(*calls)] == list(range(1, BATCH + 11))
    (last,) = (await link.call([Command(("INCR", "n"))] * (BATCH * 2)))[-1:]
    assert last == BATCH * 3 + 10


async def test_an_error_reply_harms_no_neighbour(link):
    replies = await link.call(
        [Command(("SET", "k", "v")), Command(("INCR", "k")), Command(("GET", "k"))]
    )
    assert isinstance(replies[1], ResponseError)
    assert (replies[0], replies[2]) == (b"OK", b"v")


async def test_a_caller_that_gives_up_harms_no_neighbour(link):
    first = asyncio.create_task(link.call([Command(("INCR", "n"))]))
    second = asyncio.create_task(link.call([Command(("INCR", "n"))]))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == [2]


async def test_on_an_open_connection_a_call_needs_no_task_and_what_comes_meanwhile_follows_together(
    link, monkeypatch
):
    await link.call([Command(("INCR", "n"))])
    sent = []
    send = link._pipe.send_whole

    def count(parts):
        parts = list(parts)
        sent.append(len(parts))
        return parts

    monkeypatch.setattr(link._pipe, "send_whole", lambda parts, done: send(count(parts), done))
    calls = [asyncio.create_task(link.call([Command(("INCR", "n"))])) for _ in range(4)]
    await asyncio.sleep(0)
    assert (link._runner, sent) == (None, [1])
    assert await asyncio.gather(*calls) == [[2], [3], [4], [5]]
    assert sent == [1, 3]


async def test_a_caller_that_gives_up_while_it_is_alone_leaves_nobody_waiting(link):
    await link.call([Command(("INCR", "n"))])
    first = asyncio.create_task(link.call([Command(("INCR", "n"))]))
    second = asyncio.create_task(link.call([Command(("INCR", "n"))]))
    await asyncio.sleep(0)
    assert link._alone
    first.cancel()
    assert await second == [3]
    assert await link.call([Command(("INCR", "n"))]) == [4]


async def test_what_fails_for_a_call_alone_is_mended_before_what_came_meanwhile(link):
    """A script that the server has forgotten."""
    script = Script("count", b"#!lua\nreturn redis.call('INCR', KEYS[1])", b"")
    sha = (await link.call([Command(("SCRIPT", "LOAD", script.source))]))[0]
    link._identity = Identity([Script("count", script.source, sha)])
    run = Command(("EVALSHA", sha, 1, "n"), lanes=("n",))
    assert await link.call([run]) == [1]
    await link.call([Command(("SCRIPT", "FLUSH"))])
    first = asyncio.create_task(link.call([run]))
    second = asyncio.create_task(link.call([run]))
    assert await asyncio.gather(first, second) == [[2], [3]]


async def test_what_cannot_be_written_as_a_command_harms_no_later_call(link):
    await link.call([Command(("INCR", "n"))])
    with pytest.raises(TypeError):
        await link.call([Command(("SET", "k", object()))])
    assert await link.call([Command(("INCR", "n"))]) == [2]


async def test_what_is_sent_without_waiting_is_told_later_and_once(link):
    """Also to one who sends again from within, and one who fails: that harms no neighbour."""
    told = []

    def again(replies):
        told.append(replies)
        link.send([Command(("INCR", "n"))], fail)

    def fail(replies):
        told.append(replies)
        raise ValueError("a bug")

    for connected in (False, True):
        told.clear()
        link.send([Command(("INCR", "n"))], again)
        assert told == []
        await until(lambda: len(told) == 2)
        first = 3 if connected else 1
        assert told == [[first], [first + 1]]
    assert await link.call([Command(("GET", "n"))]) == [b"4"]


async def test_closing_refuses_a_call_alone_and_connects_to_nothing_again(link):
    await link.call([Command(("INCR", "n"))])
    waiting = asyncio.create_task(link.call([Command(("BLPOP", "never", 0), again=True)]))
    await asyncio.sleep(0)
    assert link._alone
    await link.close()
    (reply,) = await waiting
    assert isinstance(reply, Lost)
    assert (link._pipe, link._runner) == (None, None)


@pytest.mark.parametrize("opened", [False, True], ids=["connecting", "connected"])
async def test_a_connection_that_is_lost_repeats_only_what_may_be_repeated(opened):
    """A server that takes commands and hangs up before it answers."""
    heard: list[list[bytes]] = []
    handlers: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = []
        heard.append(commands)
        handlers.append(asyncio.current_task())
        while (line := await reader.readline()).startswith(b"*"):
            parts = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                parts.append((await reader.readexactly(size + 2))[:-2])
            commands.append(parts[0])
            if parts[0] in (b"ONCE", b"TWICE") and len(heard) == 1:
                await asyncio.sleep(0.02)
                break
            known = b"*%d\r\n" % len(everything()) + b":1\r\n" * len(everything())
            answer = {b"CLIENT": b":5\r\n", b"INFO": b"$10\r\nrun_id:abc\r\n", b"SCRIPT": known}
            writer.write(answer.get(parts[0], b"+done\r\n"))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = Link(Dial(f"redis://127.0.0.1:{port}"), accept, demoted=unasked, scripts=everything())
    if opened:
        assert await link.call([Command(("PING",))]) == [b"done"]
    once, twice = await link.call([Command(("ONCE",)), Command(("TWICE",), again=True)])
    assert isinstance(once, Exception)
    assert twice == b"done"
    assert b"ONCE" not in heard[1]
    await link.close()
    server.close()
    await asyncio.gather(*handlers)


async def test_a_server_that_cannot_be_reached_costs_all_who_wait_one_try():
    """It takes connections and never answers: each further batch would wait as long again."""
    connections: list[asyncio.StreamWriter] = []

    def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = Link(Dial(f"redis://127.0.0.1:{port}?socket_timeout=0.05"), accept, demoted=unasked)
    calls = [link.call([Command(("INCR", "n"))]) for _ in range(BATCH * 3)]
    replies = [reply for (reply,) in await asyncio.gather(*calls)]
    assert all(isinstance(reply, Late) for reply in replies)
    assert len(connections) == 1
    (reply,) = await link.call([Command(("INCR", "n"))])
    assert isinstance(reply, Late)
    assert len(connections) == 2
    await link.close()
    server.close()
    for writer in connections:
        writer.close()


class Scripted:
    """A node that answers INCR of a number by what it was told to, and else counts what ran."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.ran: list[bytes] = []
        self._server: asyncio.Server
        self._handlers: list[Any] = []

    async def start(self) -> Address:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return Address("127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self._server.close()
        await asyncio.gather(*self._handlers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._handlers.append(asyncio.current_task())
        while (line := await reader.readline()).startswith(b"*"):
            parts = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                parts.append((await reader.readexactly(size + 2))[:-2])
            writer.write(self._answer(parts))
        writer.close()
        await writer.wait_closed()

    def _answer(self, parts: list[bytes]) -> bytes:
        if parts[0] == b"INFO":
            return b"$21\r\nrun_id:a\r\nrole:master\r\n"
        if parts[0] != b"INCR":
            return b":5\r\n"
        answer = self.answers.pop(0) if self.answers else b"+ran\r\n"
        if answer.startswith(b"+"):
            self.ran.append(parts[1])
        return answer


class Elsewhere:
    """The locator of one partition that moves to where MOVED says."""

    def __init__(self, at: Address) -> None:
        self.at = at

    async def find(self, partition: int) -> Address:
        return self.at

    def doubt(self, partition: int) -> None:
        """Nobody is asked."""

    def redirect(self, partition: int, to: Address | None) -> bool:
        self.at = to or self.at
        return True

    async def close(self) -> None:
        """Nobody is asked."""


async def test_a_partition_that_moves_within_a_batch_is_followed_and_keeps_its_order():
    """Without a key too, since what was refused has not run; what has run is not sent again."""
    target = Scripted()
    to = await target.start()
    moved = b"-MOVED 5 127.0.0.1:%d\r\n" % to.port
    source = Scripted(b"+ran\r\n", b"-TRYAGAIN x\r\n", moved, moved)
    dial = Dial("redis://at.invalid/0", locator=Elsewhere(await source.start()))
    link = Link(dial, accept, demoted=unasked)
    names = [b"%d" % n for n in range(6)]
    source.answers += [moved, moved]
    replies = await link.call([Command(("INCR", name), lanes=("a",)) for name in names])
    assert replies == [b"ran"] * 6
    assert (source.ran, target.ran) == (names[:1], names[1:])
    await link.close()
    for one in (source, target):
        await one.stop()


async def test_where_nobody_can_be_followed_the_answer_is_the_refusal():
    node = Scripted(b"-MOVED 5 127.0.0.1:1\r\n")
    address = await node.start()
    link = Link(Dial(f"redis://{address}"), accept, demoted=unasked)
    refused, ran = await link.call([Command(("INCR", "1")), Command(("INCR", "2"))])
    assert isinstance(refused, MovedError)
    assert ran == b"ran"
    await link.close()
    await node.stop()


async def test_a_connection_is_retired_once_what_was_sent_is_answered(link, monkeypatch):
    monkeypatch.setattr(link_module, "RETIRING", 30.0)
    first = asyncio.create_task(link.call([Command(("INCR", "n"))]))
    await asyncio.sleep(0)
    await link.call([Command(("INCR", "n"))])
    used, waiting = link._pipe, asyncio.create_task(link.call([Command(("INCR", "n"))]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    link.retire()
    assert await waiting == [3]
    assert await link.call([Command(("INCR", "n"))]) == [4]
    assert await first == [1]
    assert link._pipe is not used
    link.retire()
    assert link._pipe.ended
