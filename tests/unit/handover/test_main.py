"""The command line of handovers: what it takes, and what it refuses."""

from __future__ import annotations

import pytest

from services.handover.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["restart"], "give either --shutdown or, behind --, what restarts the server"),
        (["restart", "--shutdown", "--", "true"], "give either --shutdown or"),
        (["failover", "--seconds", "0"], "'0' is not a number of seconds from 1 to 60"),
        (["failover", "--seconds", "soon"], "'soon' is not a number of seconds"),
        (["break", "--partition", "x"], "--partition"),
        (["move"], "the following arguments are required: --to"),
    ],
)
def test_wrong_usage_says_what_would_be_right(capsys, arguments, says):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("command", ["restart", "failover", "move", "status", "break"])
def test_each_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m services.handover {command}")


def test_a_server_that_is_away_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("OPENLINE_REDIS_URL", "redis://127.0.0.1:1/0")
    assert main(["failover"]) == 1
    assert capsys.readouterr().err == (
        "partition 0: the message store is unavailable: the server cannot be reached\n"
    )
