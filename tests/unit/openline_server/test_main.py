"""`openline-server`: each verb starts a program of the tree with the tree in front of its path."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from openline_server import __main__ as command
from tests.support.stack import ROOT


@pytest.fixture
def become(monkeypatch):
    """Runs the command; what this process would have become, as (arguments after the interpreter, environment)."""
    found = []

    def execve(_, arguments, environment):
        found.append((arguments[1:], environment))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    for name in [name for name in os.environ if name.startswith(("OPENLINE_", "PYTHONPATH"))]:
        monkeypatch.delenv(name)

    def run(*arguments, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["openline-server", *arguments])
        with pytest.raises(SystemExit):
            command.main()
        return found.pop()

    return run


@pytest.mark.parametrize(
    ("arguments", "started"),
    [
        (["run"], ["deploy.local.run"]),
        (["run", "--memory"], ["services.embedded"]),
        (["gateway"], ["services.gateway"]),
        (["auth", "--help"], ["services.auth", "--help"]),
        (["publisher"], ["services.publisher"]),
        (["admin", "add-user", "ann"], ["services.auth.admin", "add-user", "ann"]),
        (["handover", "failover"], ["services.handover", "failover"]),
    ],
)
def test_a_verb_becomes_a_program_that_never_imports_from_the_users_folder(
    become, arguments, started
):
    assert become(*arguments)[0] == ["-P", "-m", *started]


def test_the_tree_comes_before_the_path_that_was_given(become):
    _, environment = become("gateway", PYTHONPATH="/somewhere")
    assert environment["PYTHONPATH"] == f"{ROOT}{os.pathsep}/somewhere"
    assert (Path(environment["PYTHONPATH"].split(os.pathsep)[0]) / "services").is_dir()


def test_flags_of_a_run_are_its_variables_and_come_before_them(become):
    _, environment = become("run", "--port", "0", "--gateways", "3", OPENLINE_PORT="9")
    assert environment["OPENLINE_PORT"] == "0"
    assert environment["OPENLINE_GATEWAYS"] == "3"
    assert "OPENLINE_HOST" not in environment


def test_the_namespaces_are_those_of_the_tree_unless_others_are_given(become):
    _, environment = become("gateway")
    assert environment["OPENLINE_NAMESPACES"] == str(ROOT / "deploy/namespaces.toml")
    _, environment = become("gateway", OPENLINE_NAMESPACES="mine.toml")
    assert environment["OPENLINE_NAMESPACES"] == "mine.toml"


def test_no_verb_shows_the_help_with_its_examples(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["openline-server"])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == 2
    assert "openline-server run --memory" in capsys.readouterr().out


def test_memory_with_a_fleet_is_refused_with_what_to_leave_out(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["openline-server", "run", "--memory", "--gateways", "2"])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == 2
    assert "leave out --gateways" in capsys.readouterr().err


def test_the_version_is_that_of_the_project_file(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["openline-server", "--version"])
    with pytest.raises(SystemExit):
        command.main()
    assert capsys.readouterr().out == f"openline-server {command.version()}\n"
