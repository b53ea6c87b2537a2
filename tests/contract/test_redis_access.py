"""Passwords and certificates of a real server are replaced while a broker works, without a message refused."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from deploy.local.ports import free_port
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import Code
from services.kernel.redis.access import Access
from tests.contract.steps import draft, expect_error, publish
from tests.contract.test_redis_sentinel import certificate
from tests.support.redis_server import start_redis

pytestmark = pytest.mark.server

FILES = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file")


@contextlib.asynccontextmanager
async def broker_of(url, access):
    broker = RedisBroker(url, access=access)
    try:
        yield broker
    finally:
        await broker.close()


def set_user(server, *passwords: str) -> None:
    """The user `line` has these passwords from now on, and no others."""
    with server.client() as client:
        given = [f">{password}" for password in passwords]
        client.execute_command("ACL", "SETUSER", "line", "reset", "on", "~*", "&*", "+@all", *given)


def logins(server) -> int:
    with server.client() as client:
        return int(client.info("commandstats").get("cmdstat_auth", {}).get("calls", 0))


async def test_a_password_file_is_read_anew_for_each_connection(tmp_path):
    path = tmp_path / "password"
    with start_redis(tmp_path) as server:
        url = f"redis://line@127.0.0.1:{server.port}/0"
        async with broker_of(url, Access(password_file=path)) as broker:
            for password in ("0ne", "tw0"):
                set_user(server, password)
                path.write_text(password)
                await broker.reconnect(0)
                await publish(broker, "room:a", "1")
            set_user(server, "thr3e")
            await broker.reconnect(0)
            refused = expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
            assert "refuses user name or password" in refused.message
            path.write_text("thr3e")
            await publish(broker, "room:a", "1")


async def test_a_commands_next_password_is_given_on_open_links(tmp_path, caplog):
    """The server would end those that have only the former one; here none ends, and no message is refused."""
    path = tmp_path / "password"
    path.write_text("0ne")
    with start_redis(tmp_path) as server:
        set_user(server, "0ne")
        url = f"redis://line@127.0.0.1:{server.port}/0"
        access = Access(password_command=f"cat {path}", password_seconds=1)
        async with broker_of(url, access) as broker:
            await publish(broker, "room:a", "1")
            reading = asyncio.create_task(broker.read(0, 10, block=0.3))
            with server.client() as client:
                before = {row["id"] for row in client.client_list() if row["user"] == "line"}
            set_user(server, "0ne", "tw0")
            path.write_text("tw0")
            begun = logins(server)
            async with asyncio.timeout(40):
                while logins(server) < begun + len(before) + 1:
                    await publish(broker, "room:a", "2")
                    await asyncio.sleep(0.05)
            set_user(server, "tw0")
            await reading
            await publish(broker, "room:a", "3")
            with server.client() as client:
                after = {row["id"] for row in client.client_list() if row["user"] == "line"}
            assert before <= after
            await broker.reconnect(0)
            await publish(broker, "room:a", "4")
            path.write_text("wr0ng")
            async with asyncio.timeout(40):
                while "redis_password_refused" not in caplog.text:  # noqa: ASYNC110 - it is logged elsewhere
                    await asyncio.sleep(0.05)
            await publish(broker, "room:a", "5")
    logged = str([vars(record) for record in caplog.records])
    assert not any(secret in logged for secret in ("0ne", "tw0", "wr0ng"))


async def test_certificates_are_replaced_on_both_sides_without_a_restart(tmp_path):
    """The server asks for ours, which the same authority signed: each pair is its own here."""
    first, second = certificate(tmp_path, "first"), certificate(tmp_path, "second")
    ca, cert, key = (tmp_path / name for name in ("now.ca", "now.pem", "now.key"))

    def take(pair) -> None:
        ca.write_bytes(pair[0].read_bytes())
        cert.write_bytes(pair[0].read_bytes())
        key.write_bytes(pair[1].read_bytes())

    take(first)
    port = free_port()
    flags = ["--tls-port", str(port), "--tls-auth-clients", "yes"]
    for name, path in zip(FILES, (*first, first[0]), strict=True):
        flags += [f"--{name}", str(path)]
    with start_redis(tmp_path, *flags) as server:
        access = Access(ca_file=ca, cert_file=cert, key_file=key)
        async with broker_of(f"rediss://127.0.0.1:{port}/0", access) as broker:
            await publish(broker, "room:a", "1")
            with server.client() as client:
                client.execute_command(
                    "CONFIG", "SET", *_pairs(dict(zip(FILES, (*second, second[0]), strict=True)))
                )
            await publish(broker, "room:a", "2")
            await broker.reconnect(0)
            expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
            take(second)
            await publish(broker, "room:a", "3")
            key.unlink()
            await broker.reconnect(0)
            refused = expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
            assert "OPENLINE_REDIS_KEY_FILE" in refused.message


def _pairs(values):
    return [str(part) for pair in values.items() for part in pair]
