"""What a client says before it has a connection."""

from __future__ import annotations

import asyncio
import logging

import pytest
from websockets.asyncio.server import serve

from openline import Client, OpenlineError, Position, Unauthorized

pytestmark = pytest.mark.clients


def test_the_environment_names_the_default(monkeypatch):
    monkeypatch.setenv("OPENLINE_URL", "https://push.example.org")
    monkeypatch.setenv("OPENLINE_TOKEN", "t")
    client = Client()
    assert client._dial_settings.url == "wss://push.example.org/ws"
    assert client._tokens.is_fixed


async def test_nothing_can_be_asked_before_it_is_entered():
    client = Client()
    for work in (client.online(), client.publish("room:a", 1), client.ping()):
        with pytest.raises(RuntimeError, match="enter the client first"):
            await work
    assert (client.state, client.connection, client.error) == ("idle", None, None)


async def test_a_channel_gives_nothing_before_it_is_entered():
    channel = Client().channel("room:a")
    assert (channel.state, channel.error) == ("idle", None)
    with pytest.raises(RuntimeError, match="enter the channel first"):
        await anext(aiter(channel))


async def test_a_client_is_entered_once():
    client = Client("http://127.0.0.1:9")
    async with client:
        with pytest.raises(RuntimeError, match="once"):
            await client.__aenter__()
    assert client.state == "closed"
    with pytest.raises(RuntimeError, match="once"):
        await client.__aenter__()


async def test_beyond_the_queue_a_publish_is_refused_at_once():
    async with Client("http://127.0.0.1:9", queue=0) as client:
        with pytest.raises(OpenlineError, match="queue_full"):
            await client.publish("room:a", 1)


async def test_a_publish_that_waits_too_long_is_given_up():
    async with Client("http://127.0.0.1:9", patience=0.05) as client:
        with pytest.raises(OpenlineError, match="expired"):
            await client.publish("room:a", 1)


def test_a_channel_goes_on_where_positions_say():
    client = Client(positions={"room:a": Position("e", 4)})
    assert client.channel("room:a").position == Position("e", 4)
    assert client.channel("room:a", since=Position("e", 1)).position == Position("e", 1)
    assert client.channel("room:b").position is None


async def test_a_function_that_gives_no_token_and_not_none_fails_the_client():
    async with Client("http://127.0.0.1:1", token=lambda _reason: {"token": "t"}) as client:
        with pytest.raises(Unauthorized, match="`token` gave dict"):
            await client.online()
        assert client.state == "failed"


async def test_the_token_is_in_no_log_not_even_at_debug(caplog):
    caplog.set_level(logging.DEBUG)
    came = asyncio.get_running_loop().create_future()

    async def take(socket):
        came.set_result(await socket.recv())

    silent = logging.getLogger("silent")
    silent.setLevel(logging.ERROR)
    async with serve(take, "127.0.0.1", 0, logger=silent) as server:
        port = server.sockets[0].getsockname()[1]
        async with Client(f"http://127.0.0.1:{port}", token="hunter2", proxy=None):
            assert "hunter2" in await asyncio.wait_for(came, 30)
    assert "hunter2" not in caplog.text
