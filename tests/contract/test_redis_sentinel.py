"""The broker keeps its contract where Sentinels say which server is the master, and refuses what cannot work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import time

import pytest

from deploy.local.ports import free_port
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.tokens.revocations import Kind, Revocation
from services.kernel.tokens.revocations_redis import RedisRevocations
from services.kernel.tokens.tickets_redis import RedisTickets
from tests.contract.steps import draft, expect_error, publish
from tests.contract.test_redis_streams import RedisContract
from tests.support.redis_server import start_redis
from tests.support.revocation_record import whole
from tests.support.sentinel_group import NAME, SentinelGroup, SentinelServer

pytestmark = pytest.mark.server


PATIENT = {"replicas": 1, "down_after": 40_000}
"""No master is replaced here because a busy machine gave it no time."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with SentinelGroup(tmp_path_factory.mktemp("redis"), **PATIENT) as group:
        yield group


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("valkey")
    with SentinelGroup(folder, flavour="valkey", **PATIENT) as group:
        yield group


@pytest.mark.slow
class TestRedis(RedisContract):
    @pytest.fixture
    def server(self, redis):
        return redis


class TestValkey(RedisContract):
    @pytest.fixture
    def server(self, valkey):
        return valkey


@contextlib.asynccontextmanager
async def broker_of(url, **options):
    broker = RedisBroker(url, **options)
    try:
        yield broker
    finally:
        await broker.close()


async def works(url) -> None:
    async with broker_of(url) as broker:
        await broker.start()
        await publish(broker, "room:a", "1")
        assert await broker.read(0, 0)


async def refusal(url) -> str:
    """The one line with which a broker refuses to start."""
    with pytest.raises(ConfigurationError) as caught:
        await works(url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def unavailable(broker) -> str:
    return expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE).message


async def test_tickets_and_revocations_go_to_the_same_master(redis):
    async with broker_of(redis.url) as broker:
        tickets, revocations = RedisTickets(broker.client), RedisRevocations(broker.client)
        ticket = await tickets.issue("token", ttl=30)
        await revocations.add(Revocation(kind=Kind.TOKEN, value="t1", exp=time.time() + 600))
        with redis.client() as client:
            assert client.keys("ol:{p0}:ticket:*")
        assert await tickets.redeem(ticket) == "token"
        assert len(await whole(revocations, time.time())) == 1


async def test_a_name_that_nobody_watches_is_refused(redis):
    line = await refusal(redis.url.replace(NAME, "other"))
    assert "'other'" in line
    assert "OPENLINE_REDIS_URL" in line


async def test_a_server_that_is_no_sentinel_is_refused(redis):
    line = await refusal(f"redis+sentinel://127.0.0.1:{redis.servers[0].port}/{NAME}")
    assert "no Sentinel" in line
    assert "redis://" in line


async def test_a_url_that_cannot_be_read_is_refused():
    assert "names no master" in await refusal("redis+sentinel://h1,h2")


async def test_sentinels_that_are_away_are_asked_until_one_comes(redis):
    hosts = redis.hosts.split(",")
    dead = [f"127.0.0.1:{free_port()}" for _ in hosts]
    async with broker_of(f"redis+sentinel://{','.join(dead)}/{NAME}") as broker:
        await broker.start()
        assert "no Sentinel can be reached" in await unavailable(broker)
        assert broker.counters.silent_sentinels == len(dead)
    async with broker_of(f"redis+sentinel://{','.join([*dead, hosts[0]])}/{NAME}") as broker:
        await publish(broker, "room:a", "1")
        assert broker.counters.silent_sentinels == len(dead)


async def test_a_sentinel_that_says_nothing_holds_nobody_up(redis, monkeypatch):
    """It is given a minute for its answer here, and nobody waits for that."""
    monkeypatch.setattr("services.kernel.redis.sentinel.PATIENCE", 60.0)
    monkeypatch.setattr("services.kernel.redis.connections.ANSWER_TIMEOUT", 60.0)

    async def silent(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with broker_of(f"redis+sentinel://127.0.0.1:{port},{redis.hosts}/{NAME}") as broker:
        async with asyncio.timeout(40):
            await publish(broker, "room:a", "1")
    server.close()


async def test_a_replica_that_a_sentinel_names_is_refused(tmp_path):
    """One that knows of no failover names the server that was the master; it is not used, and not given up either."""
    with SentinelGroup(tmp_path, replicas=1, sentinels=1) as group:
        with group.sentinels[0].client() as client:
            client.sentinel_remove(NAME)
            client.sentinel_monitor(NAME, "127.0.0.1", group.servers[1].port, 2)
        async with broker_of(group.url) as one:
            await one.start()
            assert "not the master" in await unavailable(one)
            with pytest.raises(OpenlineError, match="not the master"):
                await one.read(0, 0)


async def test_a_new_master_is_checked_as_the_first_was(tmp_path):
    """It may be set otherwise, and evict what it holds."""
    with SentinelGroup(tmp_path, replicas=1, sentinels=1) as group:
        replica = group.servers[1]
        with replica.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        async with broker_of(group.url) as broker:
            await publish(broker, "room:a", "1")
            group.failover()
            async with asyncio.timeout(40):
                while not broker.counters.moves:  # noqa: ASYNC110 - it is counted elsewhere
                    await asyncio.sleep(0.05)
            assert "noeviction" in await unavailable(broker)
            with replica.client() as client:
                client.config_set("maxmemory-policy", "noeviction")
            await publish(broker, "room:a", "2")


async def test_sentinels_and_servers_have_passwords_of_their_own(tmp_path, caplog):
    with SentinelGroup(tmp_path, replicas=0, sentinels=1) as group:
        with group.client() as client:
            client.config_set("requirepass", "s3rver")
        with group.sentinels[0].client() as client:
            rules = ("~*", "&*", "-@all", "+sentinel", "+subscribe")
            client.execute_command("ACL", "SETUSER", "watch", "on", ">w4tch", *rules)
            client.execute_command("ACL", "SETUSER", "default", "resetpass", ">0ther")
        where = f"{group.hosts}/{NAME}/0"
        good = "sentinel_user=watch&sentinel_password=w4tch"
        await works(f"redis+sentinel://:s3rver@{where}?{good}")
        await works(f"redis+sentinel://:s3rver@{where}?sentinel_password=0ther")
        for wrong in ("", "?sentinel_user=watch&sentinel_password=wr0ng"):
            line = await refusal(f"redis+sentinel://:s3rver@{where}{wrong}")
            assert "sentinel_password" in line
        assert "Redis refuses" in await refusal(f"redis+sentinel://:wr0ng@{where}?{good}")
    logged = str([vars(record) for record in caplog.records])
    assert not any(secret in logged for secret in ("wr0ng", "w4tch", "s3rver"))


def certificate(folder, name):
    """Paths of a certificate for 127.0.0.1, signed by itself, and of its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@contextlib.contextmanager
def by_tls(folder, cert, key):
    """The address of a Sentinel and a master that are reached by TLS."""
    master, sentinel = free_port(), free_port()
    files = {
        "tls-cert-file": cert,
        "tls-key-file": key,
        "tls-ca-cert-file": cert,
        "tls-auth-clients": "no",
    }
    flags = [part for name, value in files.items() for part in (f"--{name}", str(value))]
    with start_redis(folder, "--tls-port", str(master), *flags):
        lines = [f"{name} {value}" for name, value in files.items()]
        lines += [f"tls-port {sentinel}", "tls-replication yes"]
        lines += [f"sentinel monitor {NAME} 127.0.0.1 {master} 1"]
        one = SentinelServer(folder / "sentinel", "\n".join(lines) + "\n", flavour="redis")
        try:
            yield f"127.0.0.1:{sentinel}"
        finally:
            one.stop()


async def test_sentinels_and_servers_are_reached_by_tls(tmp_path):
    cert, key = certificate(tmp_path, "ours")
    other, _ = certificate(tmp_path, "other")
    with by_tls(tmp_path, cert, key) as address:
        url = f"rediss+sentinel://{address}/{NAME}"
        await works(f"{url}?ssl_ca_certs={cert}")
        async with broker_of(f"{url}?ssl_ca_certs={other}") as broker:
            assert "no Sentinel can be reached" in await unavailable(broker)


async def test_what_is_weak_in_their_setup_is_warned_of_once(tmp_path, caplog):
    with SentinelGroup(tmp_path, replicas=0, sentinels=1, down_after=500) as group:
        async with broker_of(group.url) as broker:
            with caplog.at_level(logging.WARNING):
                await publish(broker, "room:a", "1")
                await broker.reconnect(0)
                await publish(broker, "room:a", "2")
    doubts = [line for line in caplog.records if line.message == "sentinel_setup_doubted"]
    assert [line.fix for line in doubts] == [
        "run three Sentinels on machines of their own",
        "SENTINEL SET name down-after-milliseconds 3000",
    ]


async def test_a_sentinel_that_goes_and_comes_is_told_once(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with SentinelGroup(tmp_path, replicas=0, sentinels=1) as group:
        async with broker_of(group.url) as broker:
            await publish(broker, "room:a", "1")
            group.sentinels[0].stop()
            await reach(broker, 1)
            await asyncio.to_thread(group.sentinels[0].start)
            await reach(broker, 0)
    told = [line.message for line in caplog.records if line.message.startswith("sentinel_")]
    assert [name for name in told if name != "sentinel_setup_doubted"] == [
        "sentinel_lost",
        "sentinel_regained",
    ]


async def reach(broker, silent) -> None:
    """Wait until so many Sentinels are silent."""
    async with asyncio.timeout(40):
        while broker.counters.silent_sentinels != silent:  # noqa: ASYNC110 - it is counted elsewhere
            await asyncio.sleep(0.05)


async def test_a_closed_broker_leaves_nobody_who_asks(redis):
    before = asyncio.all_tasks()
    broker = RedisBroker(redis.url)
    await publish(broker, "room:a", "1")
    await broker.close()
    assert asyncio.all_tasks() == before
    assert await unavailable(broker)
