"""Where a load is aimed, and who it says it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtest.swarm.target import Target, TargetError, find

RUN = {
    "front_door": "http://127.0.0.1:8080",
    "clients": [{"client_id": "demo", "client_secret": "s", "scope": "publish tokens"}],
}


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENLINE_VAR", str(tmp_path))
    return tmp_path


def found(**given: str) -> Target:
    nothing = dict.fromkeys(("host", "client_id", "secret", "secret_file"))
    return find(**{**nothing, **given})


def test_the_run_on_this_machine_is_found(var: Path) -> None:
    (var / "run.json").write_text(json.dumps(RUN), "utf-8")
    assert found() == Target(host="http://127.0.0.1:8080", client_id="demo", client_secret="s")
    assert found().ws == "ws://127.0.0.1:8080"
    assert found(host="https://there.example/").ws == "wss://there.example"


def test_what_is_given_counts(var: Path) -> None:
    (var / "run.json").write_text(json.dumps(RUN), "utf-8")
    (var / "secret").write_text("from a file\n", "utf-8")
    given = {"host": "http://a.example", "client_id": "c", "secret_file": str(var / "secret")}
    assert found(**given) == Target(
        host="http://a.example", client_id="c", client_secret="from a file"
    )


@pytest.mark.parametrize(
    ("given", "fix"),
    [
        ({}, "make run"),
        ({"host": "a.example"}, "begin it with http"),
        ({"host": "http://a.example"}, "--client-id"),
        ({"host": "http://a.example", "client_id": "c"}, "--client-secret-file"),
        ({"host": "http://a.example", "secret_file": "/nowhere"}, "No such file"),
    ],
)
def test_what_is_missing_is_said_with_the_fix(given: dict[str, str], fix: str) -> None:
    with pytest.raises(TargetError, match=fix):
        found(**given)


def test_the_secret_of_the_run_is_not_given_to_another_client(var: Path) -> None:
    (var / "run.json").write_text(json.dumps(RUN), "utf-8")
    with pytest.raises(TargetError, match="--client-secret-file"):
        found(client_id="other")
