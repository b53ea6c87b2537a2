"""A pipe: replies in their order, and what becomes of them when the connection ends."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import AuthenticationError, InvalidResponse, ResponseError
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import TimeoutError as Late

from deploy.local.ports import free_port
from services.kernel.redis.connections import Dial
from services.kernel.redis.locator import Fixed
from services.kernel.redis.pipe import Pipe
from services.kernel.redis.store_url import Address
from tests.support.redis_server import RedisServer, start_redis
from tests.support.waiting import until

pytestmark = pytest.mark.server


@pytest.fixture
def server(tmp_path):
    with start_redis(tmp_path) as server:
        yield server


@pytest.fixture
async def pipe(server) -> AsyncIterator[Pipe]:
    pipe = await Dial(server.url).connect()
    yield pipe
    pipe.cut()


async def test_replies_come_in_order_also_to_several_that_ask_at_once(pipe):
    asked = [pipe.ask(*[("INCR", "n")] * 3) for _ in range(3)]
    assert await asyncio.gather(*asked) == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert await pipe.ask() == []


async def test_an_error_reply_is_a_value(pipe):
    stored, refused, found = await pipe.ask(("SET", "k", b"\x00v"), ("INCR", "k"), ("GET", "k"))
    assert isinstance(refused, ResponseError)
    assert (stored, found) == (b"OK", b"\x00v")
    assert not pipe.ended


async def test_a_large_reply_comes_whole(pipe):
    value = b"x" * 3_000_000
    assert await pipe.ask(("SET", "k", value), ("GET", "k"), ("PING",)) == [b"OK", value, b"PONG"]


async def test_who_gives_up_harms_nobody(pipe):
    first = asyncio.create_task(pipe.ask(("INCR", "n")))
    second = asyncio.create_task(pipe.ask(("INCR", "n")))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == [2]


async def test_a_server_that_hangs_is_given_up_and_what_came_before_is_kept(server):
    pipe = await Dial(f"{server.url}?socket_timeout=1").connect()
    await pipe.ask(("PING",))
    await asyncio.sleep(1.2)  # an idle connection may be silent
    assert await pipe.ask(("PING",)) == [b"PONG"]
    waiting = pipe.send([("INCR", "n"), ("BLPOP", "none", 60), ("INCR", "n")])
    first, *rest = await waiting
    assert first == 1
    assert [type(error) for error in rest] == [Late, Late]
    assert pipe.ended
    with pytest.raises(Late):
        await pipe.ask(("PING",))


async def test_a_slow_answer_is_waited_for_as_long_as_the_command_may_block(server):
    pipe = await Dial(f"{server.url}?socket_timeout=0.2").connect(blocking=10)
    assert await pipe.ask(("BLPOP", "none", 0.5)) == [None]
    pipe.cut()


async def test_whoever_waits_hears_of_the_end(server, pipe):
    task = asyncio.create_task(pipe.ask(("BLPOP", "none", 60)))
    with server.client() as client:
        await until(lambda: client.info("clients")["blocked_clients"])
    server.stop(kill=True)
    with pytest.raises(Lost):
        await task
    assert pipe.ended


async def test_a_cut_ends_what_waits(pipe):
    task = asyncio.create_task(pipe.ask(("BLPOP", "none", 5)))
    await asyncio.sleep(0)
    pipe.cut()
    with pytest.raises(Lost):
        await task


async def test_a_reply_that_nobody_asked_for_ends_the_connection(pipe):
    pipe.data_received(b"+OK\r\n")
    assert pipe.ended
    with pytest.raises(InvalidResponse):
        await pipe.ask(("PING",))


async def test_an_answer_that_the_server_serves_nobody_ends_the_connection(pipe):
    waiting = pipe.send([("PING",), ("PING",)])
    pipe.data_received(b"+PONG\r\n-LOADING Redis is loading the dataset in memory\r\n")
    first, second = await waiting
    assert (first, str(second)) == (b"PONG", "Redis is loading the dataset in memory")
    assert isinstance(second, Lost)
    assert pipe.ended


async def test_the_password_and_database_of_the_url_count(server):
    with server.client() as client:
        client.acl_setuser("app", enabled=True, passwords=["+secret"], keys="*", commands=["+@all"])
    url = f"redis://app:secret@127.0.0.1:{server.port}/3"
    pipe = await Dial(url).connect()
    (who,) = await pipe.ask(("CLIENT", "INFO"))
    pipe.cut()
    assert b"user=app" in who
    assert b"db=3" in who
    with pytest.raises(AuthenticationError):
        await Dial(url.replace("secret", "wrong")).connect()


def _certificate(folder: Any) -> tuple[str, str]:
    key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", certificate),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return key, certificate


async def test_an_encrypted_connection_works_as_a_plain_one(tmp_path):
    key, certificate = _certificate(tmp_path)
    port = free_port()
    options = ("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key)
    server: RedisServer
    with start_redis(tmp_path, *options, "--tls-auth-clients", "no") as server:
        url = f"rediss://127.0.0.1:{port}/0"
        pipe = await Dial(f"{url}?ssl_ca_certs={certificate}").connect()
        value = b"x" * 300_000
        assert await pipe.ask(("SET", "k", value), ("GET", "k")) == [b"OK", value]
        server.stop(kill=True)
        with pytest.raises(Lost):
            await pipe.ask(("PING",))
        await asyncio.sleep(0)
        assert pipe.ended


async def test_commands_that_are_sent_together_may_be_answered_each_by_itself(server, pipe):
    taken = []
    (number,) = await pipe.ask(("CLIENT", "ID"))
    pipe.send_each(
        [("INCR", "n"), ("BLPOP", "q", 60), ("INCR", "n"), ("BLPOP", "q", 60)], taken.extend
    )
    await until(lambda: taken)
    assert taken == [1]
    with server.client() as client:
        await until(lambda: client.client_unblock(number))
        await until(lambda: len(taken) > 2)
        assert taken == [1, None, 2]
        client.lpush("q", "last")
    await until(lambda: taken == [1, None, 2, [b"q", b"last"]])
    pipe.send_each([], taken.extend)
    taken.clear()
    pipe.send_each([("BLPOP", "q", 5), ("PING",)], taken.extend)
    pipe.cut()
    assert [type(reply) for reply in taken] == [Lost, Lost]
    pipe.send_each([("PING",)], taken.extend)
    assert [type(reply) for reply in taken] == [Lost] * 3


class Asked(Fixed):
    """Leads to one server, and counts how often it was asked where that is."""

    def __init__(self, address: Address) -> None:
        self.times = 0
        self._address = address

    async def find(self, partition: int) -> Address | None:
        self.times += 1
        return self._address


@pytest.mark.parametrize("turns", [0, 1])
async def test_a_connection_that_a_move_overtakes_at_its_end_is_begun_anew(server, turns):
    """A former master serves on: what is connected to it would have its writes acknowledged, and they are lost."""
    locator = Asked(Address("127.0.0.1", int(server.url.rsplit(":", 1)[1].split("/")[0])))
    dial = Dial(server.url, locator=locator)
    opened: list[Pipe] = []

    async def move_once(pipe: Pipe) -> None:
        opened.append(pipe)
        if len(opened) == 1:
            dial.moved()
            for _ in range(turns):
                await asyncio.sleep(0)

    pipe = await dial.connect(prepare=move_once)
    assert locator.times == 2
    assert pipe is opened[1]
    assert opened[0].ended
    pipe.cut()
