"""Faults and changes under live clients of the shipped compose file: nobody misses a message without being told."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator

import pytest

from tests.support.compose import ComposeStack
from tests.support.listener import Listener, listeners, traffic
from tests.support.lived import Lived
from tests.support.people import People
from tests.support.stack import ROOT
from tests.support.waiting import wait_until
from tests.support.wire import WireClient

pytestmark = pytest.mark.docker


def sticky_name(stack: ComposeStack, container: str) -> str:
    """By what nginx's cookie names a gateway: the MD5 of its address and port."""
    networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    given = stack.docker("inspect", "--format", networks, container).split()
    nginx = stack.containers("nginx")[0]
    seen = stack.docker("exec", nginx, "getent", "ahostsv4", "gateway").split()
    (address,) = set(given) & set(seen)
    return hashlib.md5(f"{address}:8101".encode()).hexdigest()


def gateways_of(clients: list[Listener]) -> list[str]:
    """On which gateway each client is, by the cookie that nginx gave it."""
    return [client.socket.response.headers["set-cookie"].partition(";")[0] for client in clients]


async def test_gateways_that_join_get_clients_and_nothing_is_restarted(
    stack: ComposeStack, people: People
) -> None:
    (nginx,) = stack.containers("nginx")
    started = stack.docker("inspect", "--format", "{{.State.StartedAt}}", nginx)
    async with traffic(people, 12) as clients:
        await asyncio.to_thread(stack.scale, 3)
        await asyncio.sleep(2)
        async with listeners(people, "room:newcomers", 9) as newcomers:
            # They go where there are fewest.
            joined = set(gateways_of(newcomers)) - set(gateways_of(clients))
            assert len(joined) == 1
        assert {client.connections for client in clients} == {1}
    assert len(stack.containers("gateway")) == 3
    assert stack.docker("inspect", "--format", "{{.State.StartedAt}}", nginx) == started


@pytest.fixture
def three(stack: ComposeStack) -> None:
    """Three gateways run, whatever was done to them before."""
    stack.scale(3)


@pytest.mark.usefixtures("three")
async def test_a_client_comes_back_to_its_gateway_by_cookie(people: People) -> None:
    token = await people.minted("sticky")
    first = await WireClient.open(people.ws(), token)
    cookie = first.socket.response.headers["set-cookie"].partition(";")[0]
    gateway = first.taken_or_not("connected")[0]["node"]
    await first.close()
    for _ in range(8):
        again = await WireClient.open(people.ws(), token, additional_headers={"Cookie": cookie})
        assert again.taken_or_not("connected")[0]["node"] == gateway
        await again.close()


@pytest.mark.usefixtures("three")
async def test_a_gateway_that_hangs_holds_nobody_longer_than_a_client_waits(
    stack: ComposeStack, people: People
) -> None:
    """With its cookie and without one, while each gateway has as many clients."""
    token = await people.minted("patient")
    async with listeners(people, "room:patient", 6):
        victim = stack.containers("gateway")[0]
        cookie = f"openline_gateway={sticky_name(stack, victim)}"
        first = await WireClient.open(people.ws(), token, additional_headers={"Cookie": cookie})
        hung = first.taken_or_not("connected")[0]["node"]
        await first.close()
        again = await WireClient.open(people.ws(), token, additional_headers={"Cookie": cookie})
        assert again.taken_or_not("connected")[0]["node"] == hung
        await again.close()
        pid = int(stack.docker("inspect", "--format", "{{.State.Pid}}", victim))
        os.kill(pid, signal.SIGSTOP)
        try:
            for headers in [{"Cookie": cookie}] * 4 + [{}] * 12:
                async with Lived() as lived:
                    client = await WireClient.open(people.ws(), token, additional_headers=headers)
                    assert lived.seconds < 5
                assert client.taken_or_not("connected")[0]["node"] != hung
                await client.close()
        finally:
            os.kill(pid, signal.SIGCONT)
        await asyncio.to_thread(stack.wait_healthy, victim)


@pytest.mark.usefixtures("three")
async def test_a_gateway_is_killed_under_clients_and_comes_back(
    stack: ComposeStack, people: People
) -> None:
    async with traffic(people, 10) as clients:
        names = {sticky_name(stack, name): name for name in stack.containers("gateway")}
        victim = names[gateways_of(clients)[0].partition("=")[2]]  # one that has clients
        pid = int(stack.docker("inspect", "--format", "{{.State.Pid}}", victim))
        await asyncio.sleep(1)
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(stack.wait_healthy, victim)
    assert sum(client.connections for client in clients) > len(clients)
    # They were cut off, and came back until a gateway took them: at once, unless the machine is very busy.
    cut = [client for client in clients if client.ends]
    assert {client.ends[0] for client in cut} == {(1006, "")}
    assert {code for client in cut for code, _ in client.ends} <= {1006, 1013}
    assert int(stack.docker("inspect", "--format", "{{.State.Pid}}", victim)) != pid


@pytest.mark.usefixtures("three")
async def test_a_gateway_cut_off_from_redis_keeps_its_clients_and_catches_up(
    stack: ComposeStack, people: People
) -> None:
    victim = stack.containers("gateway")[1]
    network = f"{stack.project}_data"

    def store() -> str:
        status, body = stack.inside(victim, "/readyz", 8101)
        assert status == 200
        return str(json.loads(body)["store"])

    async with traffic(people, 25) as clients:
        await asyncio.sleep(1)
        before = [len(client.heard) for client in clients]
        stack.docker("network", "disconnect", network, victim)
        try:
            await asyncio.to_thread(wait_until, lambda: store() == "unavailable", timeout=60)
            await asyncio.sleep(3)
            behind = max(len(c.heard) for c in clients) - min(len(c.heard) for c in clients)
        finally:
            stack.docker("network", "connect", network, victim)
        await asyncio.to_thread(wait_until, lambda: store() == "ok", timeout=60)
    # Some were behind for seconds; what they had missed came, and nobody had to reconnect.
    assert min(before) > 0
    assert behind > 40
    assert {client.connections for client in clients} == {1}


@pytest.mark.usefixtures("three")
async def test_docker_stop_drains_a_gateway(stack: ComposeStack, people: People) -> None:
    victim = stack.containers("gateway")[2]
    token = await people.minted("stayer")
    stayers = [await WireClient.open(people.ws(), token) for _ in range(12)]
    async with traffic(people, 10):
        stopping = asyncio.create_task(asyncio.to_thread(stack.docker, "stop", "-t", "20", victim))
        told = await asyncio.gather(*(told_to_move(client) for client in stayers))
        ends = [await c.wait_closed() for c, was in zip(stayers, told, strict=True) if was]
        await stopping
    # The order to stop came to Python itself, which ended by itself within twenty seconds of the engine's, or it would have been killed.
    assert stack.docker("inspect", "--format", "{{.State.ExitCode}}", victim).strip() == "0"
    assert 0 < sum(told) < len(stayers)
    assert {code for code, _ in ends} == {4100}
    for client, was in zip(stayers, told, strict=True):
        if not was:
            assert client.closed is None
            await client.close()


async def told_to_move(client: WireClient) -> bool:
    """Whether the client is told `reconnect`: within the drain, which begins when a busy engine has heard of it."""
    try:
        event = await client.expect("reconnect", patience=15)
    except TimeoutError:
        return False
    assert event["within"] == 2  # half of the drain
    return True


@contextlib.asynccontextmanager
async def newcomers(people: People) -> AsyncIterator[None]:
    """Meanwhile somebody new comes twenty times a second, and each is let in."""
    token = await people.minted("newcomer")
    let_in = 0

    async def come() -> None:
        nonlocal let_in
        client = await WireClient.open(people.ws(), token)
        let_in += 1
        await client.close()

    async def keep_coming() -> None:
        async with asyncio.TaskGroup() as group:
            while not done.is_set():
                group.create_task(come())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), 0.05)

    done = asyncio.Event()
    coming = asyncio.create_task(keep_coming())
    try:
        yield
    finally:
        done.set()
        await coming
    assert let_in > 0


@pytest.mark.usefixtures("three")
async def test_gateways_are_replaced_one_after_another(stack: ComposeStack, people: People) -> None:
    before = set(stack.compose("ps", "-q", "gateway").split())
    roll = [str(ROOT / "scripts/compose.sh"), "roll"]
    async with traffic(people, 40) as clients, newcomers(people):
        done = await asyncio.to_thread(
            subprocess.run,
            roll,
            cwd=ROOT,
            env=stack.environment,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
    after = set(stack.compose("ps", "-q", "gateway").split())
    assert len(after) == 3
    assert not before & after
    assert all(client.connections > 1 for client in clients)
    # Everybody had the time to leave by themselves, or was sent away; nobody was cut off.
    assert {code for client in clients for code, _ in client.ends} <= {1001, 4100}
