"""The server's wheel in a fresh environment and an empty folder: installed, run, used, stopped, nothing left."""

from __future__ import annotations

import json
import signal
import subprocess
import zipfile

import httpx2
import pytest
from websockets.sync.client import connect

from services.kernel.ops.version import version
from tests.support.packages import Environment, wheel
from tests.support.stack import ROOT, alive, children
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    made = Environment(tmp_path_factory.mktemp("environment") / "venv")
    made.install(f"openline-server[run] @ {built.as_uri()}")
    return made


@pytest.fixture
def folder(tmp_path):
    """A user's folder, with packages of the names that our tree has."""
    for name in ("services", "deploy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise AssertionError('the user\\'s')\n")
    return tmp_path


def test_all_of_the_wheel_is_inside_the_package(built):
    names = zipfile.ZipFile(built).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"openline_server"}
    for needed in (
        "services/gateway/app.py",
        "deploy/local/run.py",
        "deploy/namespaces.toml",
        "nginx/openline.conf",
        "web/index.html",
    ):
        assert f"openline_server/{needed}" in names
    assert not [name for name in names if name.endswith(".pyc") or "/node_modules/" in name]


def test_the_installed_command_says_its_version_and_shows_examples(environment, folder):
    said = environment.run("openline-server", "--version", cwd=folder)
    assert said == f"openline-server {version()}\n"
    assert "run --memory" in environment.run("openline-server", "--help", cwd=folder)
    settings = environment.run("openline-server", "gateway", "--help", cwd=folder)
    assert "OPENLINE_GATEWAY_PORT" in settings


def test_nothing_of_the_tree_can_be_imported_by_a_user_of_the_environment(environment, tmp_path):
    code = "import importlib.util as u, openline_server; print(u.find_spec('services'), u.find_spec('deploy'))"
    assert environment.run("python", "-c", code, cwd=tmp_path) == "None None\n"


def test_it_runs_publishes_delivers_and_leaves_nothing(environment, folder):
    with (folder / "screen.txt").open("wb") as screen:
        process = subprocess.Popen(
            [str(environment.program("openline-server")), "run", "--port", "0"],
            cwd=folder,
            env=environment.variables,
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
        )
    pids = [process.pid]
    try:
        said = folder / "screen.txt"
        wait_until(
            lambda: "ready after" in said.read_text() or process.poll() is not None, timeout=90
        )
        assert process.poll() is None, said.read_text()
        run = json.loads((folder / "var/run.json").read_text())
        pids = [pid for each in run["pids"].values() for pid in (each, *children(each))]
        assert received(run) == {"text": "hello"}
        assert httpx2.get(f"{run['front_door']}/").status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(60)
    assert status == 0, said.read_text()
    wait_until(lambda: not any(map(alive, pids)))
    assert {path.name for path in folder.iterdir()} == {
        "services",
        "deploy",
        "screen.txt",
        "var",
    }


def received(run) -> object:
    """What a listener gets of one publication, through the front door."""
    door, client, user = run["front_door"], run["clients"][0], run["users"][0]
    backend = token(door, client, grant_type="client_credentials")
    alice = token(door, user, grant_type="password")
    with connect(f"{door.replace('http', 'ws', 1)}/ws") as line:
        line.send(json.dumps({"type": "auth", "id": 1, "token": alice}))
        line.send(json.dumps({"type": "subscribe", "id": 2, "channel": "room:lobby"}))
        while (event := json.loads(line.recv(timeout=30)))["type"] != "ack" or event["id"] != 2:
            assert event["type"] != "error", event
        answer = httpx2.post(
            f"{door}/v1/channels/room:lobby/messages",
            json={"data": {"text": "hello"}},
            headers={"Authorization": f"Bearer {backend}"},
        )
        assert answer.status_code == 201, answer.text
        while (event := json.loads(line.recv(timeout=30)))["type"] != "message":
            pass
        return event["data"]


def token(door, account, **form) -> str:
    answer = httpx2.post(f"{door}/auth/token", data={**form, **account})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])
