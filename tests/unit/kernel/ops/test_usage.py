"""A service's `--help`, and what it says to other arguments."""

from __future__ import annotations

import pytest

from services.gateway.settings import Settings
from services.kernel.ops.usage import check_arguments

WHAT = "Serves clients."


@pytest.mark.parametrize("argument", ["-h", "--help"])
def test_help_names_every_variable_and_ends_well(argument, capsys):
    with pytest.raises(SystemExit) as end:
        check_arguments("gateway", WHAT, Settings, arguments=[argument])
    told = capsys.readouterr().out
    assert end.value.code == 0
    assert WHAT in told
    assert "OPENLINE_GATEWAY_PORT\n      port that the gateway listens on" in told
    assert "(default: 8101)" in told
    assert "lifts rates and connection counts (for benches), never sizes (default: on)" in told
    assert "(default: 127.0.0.1,::1)" in told
    assert all(f"OPENLINE_{name.upper()}" in told for name in Settings.model_fields)


def test_other_arguments_are_refused_in_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        check_arguments("gateway", WHAT, Settings, arguments=["--port", "1"])
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_no_arguments_go_on():
    check_arguments("gateway", WHAT, Settings, arguments=[])
