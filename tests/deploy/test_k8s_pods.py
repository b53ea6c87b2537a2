"""The pods of the dev overlay, run from their own YAML: they pass their probes, and messages pass through them."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import secrets
import subprocess

import httpx2
import pytest

from scripts import manifests
from tests.deploy.pods import Node, playable
from tests.support.people import People
from tests.support.waiting import wait_until
from tests.support.wire import WireClient

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(os.geteuid() != 0, reason="a node makes volumes for other users, as root"),
]

# Stores first, since services would only be started again and again until they are there.
ORDER = ["redis", "postgres", "auth", "publisher", "gateway", "nginx", "redis-exporter"]
ORDER += ["alertmanager", "prometheus"]
LOAD = ["loadtest-client", "locust", "locust-worker"]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """What kubectl would apply, with the user that PostgreSQL's image has here: a stand-in's is another."""
    overlays = manifests.copy(tmp_path_factory.mktemp("sources"))
    manifests.make_secrets(overlays)
    found = manifests.documents(manifests.build(overlays / "dev"))
    pods = dict(manifests.pods(found))
    image = pods["postgres"]["containers"][0]["image"]
    for option, fields in {"-u": ("runAsUser",), "-g": ("runAsGroup", "fsGroup")}.items():
        command = ["docker", "run", "--rm", "--entrypoint", "id", image, option, "postgres"]
        number = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
        pods["postgres"]["securityContext"] |= dict.fromkeys(fields, int(number))
    return found


@pytest.fixture(scope="module")
def node(images, objects, tmp_path_factory):
    """A node on which all of them run, and have passed all their probes."""
    folder = tmp_path_factory.mktemp("node")
    folder.chmod(0o755)
    pods = dict(manifests.pods(objects))
    running = Node(folder, f"openline-test-{secrets.token_hex(3)}")
    try:
        running.load(sorted({c["image"] for n in ORDER for c in manifests.containers(pods[n])}))
        for name in ORDER:
            running.start(name, playable(objects, name, folder), objects)
            for probe in PROBES:
                running.wait(name, pods[name], probe)
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def production(node, objects, tmp_path_factory):
    """The nginx of the overlay prod, in front of the services of dev."""
    overlays = manifests.copy(tmp_path_factory.mktemp("production"))
    manifests.make_secrets(overlays)
    built = manifests.documents(manifests.build(overlays / "prod"))
    folder = tmp_path_factory.mktemp("pod")
    folder.chmod(0o755)
    node.start("production", playable(built, "nginx", folder), built)
    node.wait("production", dict(manifests.pods(built))["nginx"], "readinessProbe")


@pytest.fixture(scope="module")
def locust(node, objects, tmp_path_factory):
    """The address of Locust's page, with the master, a worker and their client of the overlay load."""
    overlays = manifests.copy(tmp_path_factory.mktemp("load"))
    manifests.make_secrets(overlays)
    built = manifests.documents(manifests.build(overlays / "load"))
    # The stores are those of dev, and so are their passwords.
    name = next(o["metadata"]["name"] for o in built if is_secret(o, "auth"))
    data = next(o["data"] for o in objects if is_secret(o, "auth"))
    built = [o | {"data": data} if o["metadata"]["name"] == name else o for o in built]
    folder = tmp_path_factory.mktemp("pods")
    folder.chmod(0o755)
    pods = dict(manifests.pods(built))
    node.load([pods["locust"]["containers"][0]["image"]])
    for name in LOAD:
        node.start(name, playable(built, name, folder), built)
        if name == "loadtest-client":
            assert node.finish(name, "client") == 0, node.logs(name)
    for probe in PROBES:
        node.wait("locust", pods["locust"], probe)
    return f"http://{node.address('locust')}:8089"


def is_secret(one, name):
    return one["kind"] == "Secret" and one["metadata"]["name"].rpartition("-")[0] == name


@pytest.fixture
async def people(node):
    """Who talks to it, with a client of the back end added as the page on Kubernetes says."""
    added = node.podman(
        *("exec", "auth-auth", "python", "-m", "services.auth.admin", "add-client", "backend"),
        *("--replace", "--scope", "publish read manage tokens"),
    )
    run = {
        "front_door": f"http://{node.address('nginx')}:8080",
        "clients": [json.loads(added)],
        "users": [],
        "pids": {"supervisor": added},
    }
    async with People(run) as talking:
        yield talking


def test_all_pass_their_probes(node, objects):
    pods = dict(manifests.pods(objects))
    for name in ORDER:
        for container in pods[name]["containers"]:
            assert all(node.passes(name, container, container[probe]) for probe in PROBES), name
    assert set(pods) - set(ORDER) == {"grafana"}, "the one image that no package has"


async def test_the_first_message_passes_through_all_of_them(people):
    async with await WireClient.open(people.ws(), await people.minted("alice")) as alice:
        await alice.subscribe("room:lobby")
        answer = await people.publish("room:lobby", {"text": "hello"})
        message = await alice.message("room:lobby")
        assert (message["offset"], message["data"]) == (answer["offset"], {"text": "hello"})


def test_the_exporter_reaches_redis(node):
    def redis_up() -> bool:
        shown = httpx2.get(f"http://{node.address('redis-exporter')}:9121/metrics").text
        return "\nredis_up 1\n" in shown

    wait_until(redis_up)


async def test_the_page_is_served(people):
    assert (await people.http.get("/")).text.startswith("<!doctype html>")
    assert (await people.http.get("/app.js")).headers["content-type"].startswith("text/javascript")


async def test_keys_are_rotated_elsewhere(people):
    answer = await people.call("POST", "/auth/keys/rotate")
    assert answer.status_code == 409, answer.text
    assert "rotate them where their file is made" in answer.json()["detail"]


def test_what_kubernetes_runs_before_it_ends_a_pod_is_in_the_image(node, objects):
    for name, pod in manifests.pods(objects):
        for container in pod["containers"]:
            if "lifecycle" in container:
                command, _ = container["lifecycle"]["preStop"]["exec"]["command"]
                node.podman("exec", f"{name}-{container['name']}", command, "0")


async def test_behind_an_ingress_nginx_takes_its_word_for_who_calls(node, people, production):
    """The nginx of production, beside the other: a call for someone from outside is none of an administrator."""
    url = f"http://{node.address('production')}:8080/auth/keys/rotate"
    authorization = f"Bearer {await people.backend()}"
    for said, status in {"192.0.2.7": 403, "10.1.2.3": 409, "10.1.2.3, 192.0.2.7": 403}.items():
        headers = {"authorization": authorization, "x-forwarded-for": said}
        answer = await people.http.post(url, headers=headers)
        assert answer.status_code == status, (said, answer.text)


def test_prometheus_reaches_the_services(node):
    url = f"http://{node.address('prometheus')}:9090/api/v1/targets"

    def health():
        active = httpx2.get(url).json()["data"]["activeTargets"]
        by_job = itertools.groupby(active, lambda target: target["labels"]["job"])
        return {job: {target["health"] for target in targets} for job, targets in by_job}

    jobs = {"openline-gateway", "openline-auth", "openline-publisher", "openline-redis"}
    jobs |= {"openline-nginx", "prometheus", "alertmanager"}
    wait_until(lambda: all(health().get(job) == {"up"} for job in jobs), timeout=60)


def test_locust_loads_what_is_there(locust):
    def stats():
        return httpx2.get(f"{locust}/stats/requests", timeout=10).json()

    wait_until(lambda: stats()["workers"], timeout=30)
    form = {"user_count": 14, "spawn_rate": 14, "host": "http://nginx:8080"}
    assert httpx2.post(f"{locust}/swarm", data=form, timeout=10).json()["success"]
    wait_until(lambda: stats()["stats"][-1]["num_requests"] > 100, timeout=60)
    httpx2.get(f"{locust}/stop", timeout=10)
    assert stats()["errors"] == []


async def test_a_gateway_that_is_told_to_end_moves_its_clients_within_its_grace(
    node, people, objects
):
    pod = dict(manifests.pods(objects))["gateway"]
    grace = pod["terminationGracePeriodSeconds"] - 10  # which preStop has taken
    async with await WireClient.open(people.ws(), await people.minted("bob")) as bob:
        stopping = asyncio.create_task(asyncio.to_thread(node.stop, "gateway", grace))
        told = await bob.expect("reconnect")
        code, _ = await bob.wait_closed(patience=grace)
        assert (told["within"], code) == (15, 4100)
        assert await stopping == 0, "it ended by itself, and was not killed"
