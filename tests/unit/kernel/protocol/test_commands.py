"""Commands: frozen values named after their type."""

from __future__ import annotations

import typing

import msgspec
import pytest

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.protocol import commands
from services.kernel.protocol.commands import BadCommand, Command, History, Publish


def test_every_command_is_listed_by_its_type():
    named = [cls.__struct_config__.tag for cls in typing.get_args(Command)]
    assert tuple(named) == commands.TYPES


def test_what_a_client_leaves_out_has_the_protocols_defaults():
    publish = Publish(channel="room:x", data=b"1")
    assert (publish.id, publish.key, publish.ephemeral, publish.echo) == (None, None, False, True)
    history = History(channel="room:x")
    assert (history.since, history.limit, history.reverse) == (None, 100, False)


def test_a_command_does_not_change():
    with pytest.raises(AttributeError):
        History(channel="room:x").limit = 5  # type: ignore[misc]


def test_a_bad_command_is_a_refusal_that_knows_its_id():
    error = BadCommand(Code.BAD_REQUEST, "no", id="k")
    assert isinstance(error, OpenlineError)
    assert (error.code, error.message, error.id) == (Code.BAD_REQUEST, "no", "k")
    assert BadCommand(Code.BAD_REQUEST, "no").id is None


def test_commands_are_structs_a_type_checker_and_msgspec_agree_on():
    assert {f.name for f in msgspec.structs.fields(commands.Subscribe)} == {
        "id",
        "channel",
        "since",
        "last",
    }
