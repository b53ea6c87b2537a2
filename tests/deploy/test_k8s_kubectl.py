"""kubectl applies an overlay, applies it again and deletes it, against a stand-in of the API server that keeps objects."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import re
from collections import deque
from importlib import resources

import pytest
from kmock._internal import parsing

from scripts import manifests

pytestmark = pytest.mark.deploy


@pytest.fixture
def server(kmock, monkeypatch):
    """An API server that knows the kinds of a real one, and keeps objects; it validates nothing."""
    monkeypatch.setattr(parsing, "parse_path", parse_path)
    # For each request it looks through all before it, by every rule: half a minute for an overlay. kubectl asks for less
    # than this at a time.
    object.__setattr__(kmock, "_requests", deque(maxlen=32))
    packed = resources.files("kmock._internal").joinpath("resources.json.gz").read_bytes()
    for answer in json.loads(gzip.decompress(packed)):
        group, _, version = answer["groupVersion"].rpartition("/")
        kmock["get", f"/apis/{group}/{version}" if group else f"/api/{version}"] << answer
        for known in answer["resources"]:
            if "/" not in known["name"]:
                kmock.resources[group, version, known["name"]] = {}
    return kmock


def parse_path(path, parsed=parsing.parse_path):
    """Namespaces are objects themselves; to the stand-in they are only what others lie in."""
    found = re.fullmatch(r"/api/v1/namespaces(?:/([^/]+))?", path)
    if found is None:
        return parsed(path)
    return parsing.ParsedPath(group="", version="v1", plural="namespaces", name=found[1])


def kept(server):
    """The objects that there are, by kind and name."""
    return {
        (str(kind), name): copy.deepcopy(dict(one.raw))
        for (kind, _, name), one in server.objects.items()
        if not one.deleted
    }


@pytest.fixture
def kubectl(server, tmp_path, monkeypatch):
    """A kubectl that talks to the server; answers its lines."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    async def run(*arguments):
        process = await asyncio.create_subprocess_exec(
            manifests.kubectl(),
            "--server",
            str(server.url),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 150)
        assert process.returncode == 0, said.decode()
        return said.decode().splitlines()

    return run


@pytest.mark.timeout(400)
# Half a minute each: load has all of dev, and sentinel is of the kinds of cluster.
@pytest.mark.parametrize("overlay", ["load", "cluster", "prod"])
async def test_apply_twice_and_delete(server, kubectl, tmp_path, overlay):
    overlays = manifests.copy(tmp_path)
    manifests.make_secrets(overlays)
    expected = manifests.documents(manifests.build(overlays / overlay))
    folder = str(overlays / overlay)

    first = await kubectl("apply", "--validate=false", "-k", folder)
    assert len(first) == len(expected)
    assert all(line.endswith(" created") for line in first), first
    before = kept(server)
    assert len(before) == len(expected)

    again = await kubectl("apply", "--validate=false", "-k", folder)
    # kubectl sends a budget's selector each time, since it cannot be merged; it stays the same.
    changed = [line for line in again if not line.endswith(" unchanged")]
    assert all(line.startswith("poddisruptionbudget") for line in changed), changed
    assert kept(server) == before

    await kubectl("delete", "--wait=false", "-k", folder)
    assert kept(server) == {}
