"""`make run`: one command starts everything, one Ctrl-C ends it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import signal
import stat
import subprocess
import sys

import httpx2
import pytest

from deploy.local.ports import free_port
from tests.support.redis_server import start_redis
from tests.support.stack import ROOT, alive


def start(**variables):
    """Start a run that is expected to refuse; `(status, stdout, stderr)`."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("OPENLINE_")}
    result = subprocess.run(
        [sys.executable, "-m", "deploy.local.run"],
        cwd=ROOT,
        env={**given, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


def printed(stack, word):
    """The printed line to try that contains a word."""
    (line,) = [line for line in stack.screen.splitlines() if word in line]
    return line


@contextlib.contextmanager
def running(line, **options):
    """A printed line, run from the repository's folder as a person would."""
    process = subprocess.Popen(
        ["sh", "-c", line],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **options,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


# ---------------------------------------------------------------------------------------------------- the start


def test_the_screen_shows_the_address_a_login_and_three_lines(stack):
    screen = stack.screen
    assert f"{stack.url}/" in screen
    user = stack.run["users"][0]
    assert f"{user['username']} / {user['password']}" in screen
    assert len(screen.splitlines()) < 30
    assert httpx2.get(f"{stack.url}/").status_code == 200


def test_the_three_lines_work_as_printed(stack):
    listen, publish, chat = (printed(stack, word) for word in ("/sse?", "/v1/", "/ws/rooms/"))
    with running(listen) as listener, running(chat, stdin=subprocess.PIPE) as chatter:
        wait_for(listener, "event: subscribed")
        wait_for(chatter, '"type":"connected"')
        answer = subprocess.run(["sh", "-c", publish], capture_output=True, text=True, check=True)
        assert json.loads(answer.stdout)["channel"] == "room:lobby"
        wait_for(listener, '"data":{"text": "hello"}')
        wait_for(chatter, '"data":{"text": "hello"}')
        chatter.stdin.write("good morning\n")
        chatter.stdin.flush()
        wait_for(listener, '"data":{"text":"good morning"}')


def wait_for(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"{text!r} did not come")


def test_run_json_says_everything_and_only_to_this_user(stack):
    path = stack.var / "run.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    run = json.loads(path.read_text())
    assert set(run) == {
        "front_door",
        "gateways",
        "auth",
        "publisher",
        "redis",
        "nginx_status",
        "users",
        "clients",
        "pids",
    }
    for url in (run["front_door"], *run["gateways"], run["auth"], run["publisher"]):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert run["redis"].startswith("redis://")
    assert len(run["gateways"]) == 2
    assert set(run["users"][0]) == {"username", "password"}
    client = run["clients"][0]
    assert set(client) == {"client_id", "client_secret", "scope"}
    assert set(client["scope"].split()) == {"publish", "read", "manage", "tokens"}
    assert set(run["pids"]) == {
        "supervisor",
        "redis",
        "auth",
        "publisher",
        "gateway-1",
        "gateway-2",
        "nginx",
    }
    assert all(alive(pid) for pid in run["pids"].values())


def test_the_accounts_in_run_json_are_good(stack):
    assert stack.user_token("alice")
    assert stack.user_token("bob")
    assert stack.client_token("publish read manage tokens")


def test_every_service_answers_on_its_own_port_and_not_through_the_front_door(stack):
    run = stack.run
    for url in (*run["gateways"], run["auth"], run["publisher"]):
        assert httpx2.get(f"{url}/healthz").status_code == 200
        assert httpx2.get(f"{url}/readyz").status_code == 200
        assert "openline_" in httpx2.get(f"{url}/metrics").text
    for path in ("/readyz", "/metrics"):
        assert httpx2.get(stack.url + path).status_code == 404


def test_logs_are_json_and_hold_no_token(stack):
    token = stack.user_token("alice")
    httpx2.get(f"{stack.url}/sse?channel=nowhere:x&token={token}")
    httpx2.get(f"{stack.url}/sse?channel=room:x&token={token}x")
    for name in ("auth", "publisher", "gateway-1", "gateway-2", "nginx-access"):
        log = stack.log(name)
        assert token not in log
        assert [json.loads(line) for line in log.splitlines()]


def test_a_refused_handshake_is_not_an_error_in_the_log(stack):
    before = len(stack.log("gateway-1"))
    assert (
        httpx2.get(f"{stack.gateways[0]}/ws?token=nonsense", headers=handshake()).status_code == 401
    )
    levels = {json.loads(line)["level"] for line in stack.log("gateway-1")[before:].splitlines()}
    assert "error" not in levels


def handshake():
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }


# --------------------------------------------------------------------------------------------- what goes wrong


def test_a_second_start_says_that_it_runs_and_how_to_run_beside_it(stack):
    status, _, errors = start(OPENLINE_VAR=str(stack.var))
    assert status == 2
    assert errors.count("\n") == 1
    port = stack.url.rpartition(":")[2]
    assert f"port {port} is in use" in errors
    assert re.search(r"OPENLINE_PORT=\d+ OPENLINE_VAR=\S+ make run", errors)


def test_a_port_in_use_is_named_with_how_to_choose_another(stack, tmp_path):
    port = stack.url.rpartition(":")[2]
    status, _, errors = start(OPENLINE_PORT=port, OPENLINE_VAR=str(tmp_path))
    assert status == 2
    assert errors.count("\n") == 1
    assert f"port {port} for the front door is in use" in errors
    assert re.search(rf"OPENLINE_PORT=\d+ OPENLINE_VAR={re.escape(str(tmp_path))} make run", errors)
    assert not (tmp_path / "run.json").exists()


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """What a start prints that ends with status 2 before anything starts. In this process: importing takes a second."""

    def refusal(module="deploy.local.run", **variables):
        for name in [name for name in os.environ if name.startswith("OPENLINE_")]:
            monkeypatch.delenv(name)
        for name, value in {"OPENLINE_VAR": str(tmp_path / "var"), **variables}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", [module])
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(
                module if module.startswith("deploy") else f"{module}.__main__"
            ).main()
        assert ended.value.code == 2
        screen, errors = capsys.readouterr()
        assert not screen
        assert errors.count("\n") == 1
        return errors

    return refusal


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAYS", "none"),
        ("PARTITIONS", "many"),
        ("AUTH_HASHERS", "none"),
        ("PING_SECONDS", "never"),
        ("NAMESPACES", "/proc/none"),
    ],
)
def test_a_wrong_setting_is_one_line_before_anything_starts(refusal, variable, value):
    said = refusal(OPENLINE_PORT="0", **{f"OPENLINE_{variable}": value})
    assert said.startswith(f"OPENLINE_{variable}=")
    assert value in said


@pytest.mark.parametrize(
    "module",
    ["deploy.local.run", "services.auth", "services.gateway", "services.publisher"],
)
def test_a_misspelt_variable_is_one_line_with_the_nearest_before_anything_starts(refusal, module):
    assert refusal(module, OPENLINE_PING_SECOND="10").startswith(
        "OPENLINE_PING_SECOND: there is no such variable; the nearest is OPENLINE_PING_SECONDS"
    )


def test_a_redis_that_does_not_answer_is_one_line(tmp_path):
    url = f"redis://:sesame@127.0.0.1:{free_port()}/0"
    status, _, errors = start(OPENLINE_PORT="0", OPENLINE_REDIS_URL=url, OPENLINE_VAR=str(tmp_path))
    assert status == 1
    assert errors.count("\n") == 1
    assert "OPENLINE_REDIS_URL" in errors
    assert "sesame" not in errors


def test_a_redis_that_may_evict_is_one_line_that_says_what_to_set(tmp_path):
    with start_redis(tmp_path, "--maxmemory-policy", "allkeys-lru", flavour="valkey") as redis:
        status, _, errors = start(
            OPENLINE_PORT="0",
            OPENLINE_GATEWAYS="1",
            OPENLINE_REDIS_URL=redis.url,
            OPENLINE_VAR=str(tmp_path / "var"),
        )
    assert status == 1
    assert errors.count("\n") == 1
    assert "set maxmemory-policy noeviction in its configuration" in errors


def test_a_service_that_dies_is_started_again_and_that_is_announced(stack):
    before = stack.pid("publisher")
    stack.kill("publisher")
    assert stack.pid("publisher") != before
    assert "publisher was ended by SIGKILL; starting it again" in stack.screen
    stack.publish("public:news", 1)


def test_a_killed_nginx_comes_back_on_its_port(stack):
    workers = stack.processes()
    stack.kill("nginx")
    assert httpx2.get(f"{stack.url}/healthz").status_code == 200
    assert workers
