"""The command line: safe to repeat, one line for each refusal."""

from __future__ import annotations

import io
import json

import pytest

from services.auth import admin
from tests.support.redis_server import start_redis

pytestmark = pytest.mark.usefixtures("cheap_passwords")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENLINE_VAR", str(tmp_path))
    monkeypatch.setenv("OPENLINE_REDIS_URL", "redis://127.0.0.1:1/0")


@pytest.fixture
def run(capsys):
    def call(*arguments: str):
        code = admin.main(arguments)
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return call


def test_a_client_gets_a_generated_secret_shown_once(run):
    code, (made,), _ = run("add-client", "app", "--scope", "read publish")
    assert code == 0
    assert len(made["client_secret"]) >= 32
    assert made["scope"] == "publish read"
    _, listed, _ = run("list")
    assert made["client_secret"] not in str(listed)
    assert listed[0]["client_id"] == "app"


def test_a_client_may_have_a_rate(run):
    run("add-client", "app", "--rate", "2.5")
    run("add-client", "free")
    assert [(client["client_id"], client["rate"]) for client in run("list")[1]] == [
        ("app", 2.5),
        ("free", None),
    ]


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "many"])
def test_a_bad_rate_is_wrong_usage(run, rate, capsys):
    with pytest.raises(SystemExit) as ended:
        run("add-client", "app", f"--rate={rate}")
    assert ended.value.code == 2
    assert "is not a number of calls a second" in capsys.readouterr().err


def test_a_secret_can_be_given(run, monkeypatch, tmp_path):
    secret = "k" * 40
    monkeypatch.setattr("sys.stdin", io.StringIO(secret + "\n"))
    assert run("add-client", "one", "--secret-file", "-")[1][0]["client_secret"] == secret
    file = tmp_path / "secret"
    file.write_text("correct horse\n")
    assert run("add-user", "alice", "--secret-file", str(file))[1][0]["password"] == "correct horse"


@pytest.mark.parametrize("kind", ["add-client", "add-user"])
def test_adding_again_is_refused_ignored_or_done_as_asked(run, kind):
    assert run(kind, "again")[1][0]["created"]
    code, out, err = run(kind, "again")
    assert (code, out) == (1, [])
    assert "--if-missing" in err
    code, (left,), _ = run(kind, "again", "--if-missing")
    assert (code, left["created"]) == (0, False)
    if kind == "add-user":  # what the old one opened must end, and here is no Redis
        code, _, err = run(kind, "again", "--replace")
        assert code == 1
        assert "run this again" in err
    else:
        assert run(kind, "again", "--replace")[1][0]["created"]
    assert run(kind, "new-one", "--replace")[1][0]["created"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("add-client", "UPPER"),
        ("add-client", "x", "--scope", "fly"),
        ("add-client", "x", "--channels", "{"),
        ("add-client", "x", "--channels", '{"a*b": []}'),
        ("add-client", "x", "--secret-file", "/none"),
        ("add-user", "ab"),
        ("disable", "user", "nobody"),
    ],
)
def test_a_refusal_is_one_line(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (1, [])
    assert len(err.splitlines()) == 1


def test_short_secrets_and_passwords_are_refused(run, monkeypatch):
    for kind in ("add-client", "add-user"):
        monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
        code, _, err = run(kind, "some", "--secret-file", "-")
        assert code == 1
        assert "characters" in err


@pytest.mark.server
def test_disabling_revokes_and_says_when_it_could_not(run, tmp_path, monkeypatch):
    run("add-user", "alice")
    code, _, err = run("disable", "user", "alice")
    assert code == 1
    assert "run this again" in err
    with start_redis(tmp_path) as server:
        monkeypatch.setenv("OPENLINE_REDIS_URL", server.url)
        assert run("disable", "user", "alice")[0] == 0
        run("add-client", "app")
        assert run("disable", "client", "app")[0] == 0
        with server.client() as client:
            members = client.zrange("ol:{p0}:revoked", 0, -1)
            told = [
                fields
                for key in client.scan_iter("*bus*", _type="stream")
                for _, fields in client.xrange(key)
            ]
        assert sum(b'"do":"revoke"' in str(fields).encode() for fields in told) == 2
        assert [m.split(b":")[:2] for m in members] == [[b"sub", b"alice"], [b"client", b"app"]]
    assert all(entry["disabled"] for entry in run("list")[1])
