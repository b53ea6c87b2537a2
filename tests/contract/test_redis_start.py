"""What the Redis adapter checks before it serves, and what it says then."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from deploy.local.ports import free_port
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import Code
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.keys import layout
from tests.contract.steps import draft, expect_error, publish
from tests.support.redis_server import start_redis

pytestmark = pytest.mark.server


@pytest.fixture(params=["redis", "valkey"])
def start(tmp_path, request):
    servers = []

    def start(*args):
        servers.append(start_redis(tmp_path, *args, flavour=request.param))
        return servers[-1]

    yield start
    for server in servers:
        server.stop(kill=True)


async def refusal(url: str, **options) -> str:
    """The one line with which a broker refuses to start."""
    with pytest.raises(ConfigurationError) as caught:
        await works(url, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextlib.asynccontextmanager
async def broker_of(url, **options):
    broker = RedisBroker(url, **options)
    try:
        yield broker
    finally:
        await broker.close()


async def works(url: str, **options) -> None:
    async with broker_of(url, **options) as broker:
        await broker.start()
        await publish(broker, "room:a", "1")
        assert len(await broker.read(0, 0)) > 0


@pytest.mark.parametrize("url", ["", "localhost", "http://x", "redis://:pw@h:port/0", "mysql://s"])
async def test_a_url_that_is_none_is_named(url):
    line = await refusal(url)
    assert "OPENLINE_REDIS_URL" in line
    assert "pw" not in line


async def test_an_evicting_server_is_refused(start):
    server = start("--maxmemory-policy", "allkeys-lru")
    assert "noeviction" in await refusal(server.url)


async def test_another_layout_is_refused(start):
    server = start()
    await works(server.url, partitions=2)
    assert "OPENLINE_PARTITIONS=2" in await refusal(server.url, partitions=1)
    await works(server.url, partitions=2)


async def test_the_layout_is_looked_at_with_each_connection(start):
    """A flush takes it away, and what another service has chosen since then would divide the channels."""
    server = start()
    broker = RedisBroker(server.url, partitions=2)
    await publish(broker, "room:a", "1")
    with server.client() as client:
        client.flushall()
        for number in range(2):
            await broker.reconnect(number)
        await publish(broker, "room:a", "1")
        assert client.get(layout()) == b"2"
        client.set(layout(), 3)
    for number in range(2):
        await broker.reconnect(number)
    refused = expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
    assert "OPENLINE_PARTITIONS=3" in refused.message
    await broker.close()


async def test_a_replica_is_refused(start):
    master = start()
    replica = start("--replicaof", "127.0.0.1", str(master.port))
    assert "master" in await refusal(replica.url)


@contextlib.asynccontextmanager
async def changed(server, was: bytes, now: bytes):
    """The URL of a server behind something that replaces these bytes in what both sides say."""
    tasks = []

    async def pass_on(reader, writer):
        while data := await reader.read(65_536):
            writer.write(data.replace(was, now))
        writer.close()

    async def serve(reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
        tasks.extend(
            map(asyncio.create_task, (pass_on(reader, far_writer), pass_on(far_reader, writer)))
        )

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
    listener.close()
    await asyncio.gather(*tasks)


async def test_a_server_that_hides_its_replication_id_is_refused(start):
    """Each script would fail: without it nothing tells one life of the data from the next."""
    async with changed(start(), b"master_replid", b"hidden_replid") as url:
        line = await refusal(url)
    assert "master_replid" in line
    assert "OPENLINE_REDIS_URL" in line


@pytest.mark.parametrize(
    ("was", "now"),
    [(b"flags=allow-oom\nlocal", b"flags=allow-all\nlocal"), (b"'0-*', 'f'", b"'0-?', 'f'")],
)
async def test_a_server_that_runs_no_script_of_ours_is_refused(start, was, now):
    """Some only look like Redis 7, and each publish would fail."""
    async with changed(start(), was, now) as url:
        line = await refusal(url)
    assert "XADD 0-*" in line
    assert "OPENLINE_REDIS_URL" in line


async def test_a_server_with_room_for_few_connections_is_warned_of(start, caplog):
    server = start("--appendonly", "yes", "--maxclients", "40")
    await works(server.url)
    assert caplog.text == ""
    async with broker_of(server.url, partitions=2) as broker:
        with server.client() as client:
            client.flushall()
        await broker.start()
    (line,) = caplog.records
    assert (line.message, line.most) == ("redis_connection_room_doubted", 40)
    assert line.fix == "set maxclients 10000"


async def test_a_trusted_restart_needs_every_write_on_disk(start):
    server = start("--appendonly", "yes", "--appendfsync", "everysec")
    assert "OPENLINE_TRUSTED_RESTART" in await refusal(server.url, trusted_restart=True)
    with server.client() as client:
        client.config_set("appendfsync", "always")
    await works(server.url, trusted_restart=True)


async def test_passwords_are_used_and_never_shown(start, caplog):
    server = start()
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "line", "on", ">s3cret", "~*", "&*", "+@all")
        client.config_set("requirepass", "s3cret")
    address = f"127.0.0.1:{server.port}/0"
    await works(f"redis://:s3cret@{address}")
    await works(f"redis://line:s3cret@{address}")
    for url in (f"redis://:wr0ng@{address}", f"redis://line:wr0ng@{address}", server.url):
        line = await refusal(url)
        assert "OPENLINE_REDIS_URL" in line
        assert "wr0ng" not in line
    logged = str([vars(line) for line in caplog.records])
    assert "wr0ng" not in logged
    assert "s3cret" not in logged


async def test_another_database_and_a_unix_socket_serve(start, tmp_path):
    path = tmp_path / "s"
    server = start("--unixsocket", str(path))
    await works(server.url.replace("/0", "/3"))
    with server.client() as client:
        assert client.dbsize() == 0
    await works(f"unix://{path}?db=4")


async def test_a_server_without_an_append_only_file_is_warned_of(start, caplog):
    with caplog.at_level(logging.WARNING):
        await works(start().url)
    (line,) = caplog.records
    assert line.fix == "set appendonly yes"
    caplog.clear()
    await works(start("--appendonly", "yes").url)
    assert caplog.text == ""


async def test_settings_that_are_hidden_are_taken_on_trust(start):
    server = start()
    with server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "line", "on", ">x", "~*", "&*", "+@all", "-config", "-client|kill"
        )
    await works(f"redis://line:x@127.0.0.1:{server.port}/0")


@pytest.mark.parametrize("lacking", ["-info", "-time", "-eval"])
async def test_a_user_whose_scripts_may_not_ask_the_server_is_refused(start, lacking):
    """Each publish would fail: the user's rights count within scripts, too."""
    server = start()
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "line", "on", ">x", "~*", "&*", "+@all", lacking)
    line = await refusal(f"redis://line:x@127.0.0.1:{server.port}/0")
    assert "+info +time" in line
    assert "OPENLINE_REDIS_URL" in line


async def test_a_user_with_no_more_than_is_documented_serves(start):
    server = start()
    rules = ("~ol:*", "-@all", "+@read", "+@write", "+@scripting", "+info", "+time", "+ping")
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "line", "on", ">x", *rules)
    await works(f"redis://line:x@127.0.0.1:{server.port}/0")


async def test_an_unreachable_server_is_checked_when_it_comes(start):
    server = start("--maxmemory-policy", "allkeys-lru")
    server.stop()
    broker = RedisBroker(server.url)
    await broker.start()
    expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
    server.start()
    refused = expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
    assert "noeviction" in refused.message
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
    await publish(broker, "room:a", "1")
    await broker.close()


async def test_a_server_that_never_answers_is_given_up():
    """Something listens and says nothing."""

    handlers = []

    async def silent(reader, writer):
        handlers.append(asyncio.current_task())
        await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    broker = RedisBroker(f"redis://127.0.0.1:{port}/0?socket_timeout=0.2")
    refused = expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
    assert "does not answer" in refused.message
    await broker.close()
    server.close()
    await asyncio.gather(*handlers)


async def test_closing_refuses_what_waits():
    broker = RedisBroker(f"redis://127.0.0.1:{free_port()}/0")
    calls = [asyncio.create_task(broker.publish([draft("room:a")])) for _ in range(3)]
    await asyncio.sleep(0)
    await broker.close()
    for call in calls:
        expect_error((await asyncio.wait_for(call, 30))[0], Code.UNAVAILABLE)
    await broker.close()
