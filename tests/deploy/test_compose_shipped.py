"""`docker compose up` of the shipped file: everything is up, closed where it should be, and carries messages."""

from __future__ import annotations

import itertools
import json
import subprocess

import httpx2
import pytest

from tests.support.compose import ComposeStack
from tests.support.listener import listeners
from tests.support.people import People
from tests.support.waiting import wait_until
from tests.support.wire import WireClient

pytestmark = pytest.mark.docker


async def test_the_first_message_arrives(people: People) -> None:
    async with listeners(people, "room:lobby", 1) as (client,):
        answer = await people.publish("room:lobby", {"text": "hello"})
        await client.until(lambda: client.heard)
        assert client.heard == [(answer["epoch"], answer["offset"], {"text": "hello"})]


def test_every_target_of_prometheus_is_up(stack: ComposeStack) -> None:
    jobs = {"openline-gateway", "openline-auth", "openline-publisher", "openline-redis"}
    jobs |= {"openline-nginx", "prometheus", "alertmanager"}
    wait_until(lambda: set(itertools.chain(*stack.targets().values())) == {"up"}, timeout=60)
    assert set(stack.targets()) == jobs


@pytest.mark.parametrize("metric", ["redis_up", "nginx_up"])
def test_exporters_reach_what_they_watch(stack: ComposeStack, metric: str) -> None:
    url, query = f"{stack.prometheus}/api/v1/query", {"query": f"{metric} == 1"}
    wait_until(lambda: httpx2.get(url, params=query).json()["data"]["result"], timeout=60)


def test_containers_are_hardened(stack: ComposeStack) -> None:
    for name in stack.compose("ps", "--format", "{{.Name}}").split():
        (found,) = json.loads(stack.docker("inspect", name))
        assert found["HostConfig"]["ReadonlyRootfs"], name
        assert found["HostConfig"]["CapDrop"] == ["ALL"], name
        assert not found["HostConfig"]["CapAdd"], name
        assert "no-new-privileges:true" in found["HostConfig"]["SecurityOpt"], name
        user = stack.docker("exec", name, "cat", "/proc/1/status").partition("Uid:")[2].split()[0]
        assert user != "0", name
        for path in ("/app/x", "/etc/x", "/usr/x"):
            written = subprocess.run(
                ["docker", "exec", name, "sh", "-c", f"echo > {path}"],
                capture_output=True,
                timeout=30,
                check=False,
            )
            assert written.returncode, f"{name} can write {path}"


def test_no_secret_is_in_what_docker_shows(stack: ComposeStack) -> None:
    made = [p for p in (stack.folder / "secrets").iterdir() if p.name.endswith("_password")]
    assert len(made) == 3
    shown = stack.docker("inspect", *stack.compose("ps", "-q").split()) + stack.compose("config")
    for name in stack.containers("auth") + stack.containers("redis") + stack.containers("postgres"):
        shown += stack.docker("top", name, "-o", "pid,args")
    shown += stack.compose("logs", "--no-color")
    for path in made:
        assert path.read_text() not in shown, path.name


def test_only_the_door_and_the_watchers_are_published_and_only_on_loopback(
    stack: ComposeStack,
) -> None:
    published = {}
    for name in stack.compose("ps", "--format", "{{.Name}}").split():
        shown = stack.docker("inspect", "--format", "{{json .NetworkSettings.Ports}}", name)
        for port, hosts in json.loads(shown).items():
            if hosts:
                published[name.split("-")[-2], port] = {host["HostIp"] for host in hosts}
    assert published == {
        ("nginx", "8080/tcp"): {"127.0.0.1"},
        ("prometheus", "9090/tcp"): {"127.0.0.1"},
        ("alertmanager", "9093/tcp"): {"127.0.0.1"},
    }


async def test_registration_password_grant_and_echo_are_off(people: People) -> None:
    person = {"username": "mallory", "password": "long enough to be one"}
    registered = await people.http.post("/auth/register", json=person)
    granted = await people.http.post("/auth/token", data={"grant_type": "password", **person})
    echo = await WireClient.open(people.ws(path="/ws/echo"), auth=False)
    assert registered.status_code in (403, 404)
    assert granted.json()["error"] == "unsupported_grant_type"
    assert (await echo.wait_closed())[0] == 4000


def test_redis_keeps_what_it_is_told_and_wants_a_password(stack: ComposeStack) -> None:
    (redis,) = stack.containers("redis")
    ask = "redis-cli config get maxmemory-policy appendonly appendfsync stream-node-max-bytes"
    authenticated = f'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" {ask}'
    assert "NOAUTH" in stack.docker("exec", redis, "sh", "-c", ask)
    told = stack.docker("exec", redis, "sh", "-c", authenticated).split()
    settings = dict(zip(told[::2], told[1::2], strict=True))
    assert settings == {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "stream-node-max-bytes": "1024",
    }
