"""Commands in the body of a request: what is taken as it was written, and what is refused before it is looked at."""

from __future__ import annotations

import pytest

from services.kernel.domain.codes import Code
from services.kernel.protocol import bodies
from services.kernel.protocol.bodies import MAX_COMMANDS, Beginning, Following
from tests.support.refusals import refused


def test_each_command_is_taken_as_it_was_written():
    body = b'{"commands": [ {"type" : "ping"}, 1.0, "\xc3\xa9", null ], "unknown": 1}'
    read = bodies.read(body, Beginning)
    assert bodies.texts(read.commands) == [b'{"type" : "ping"}', b"1.0", b'"\xc3\xa9"', b"null"]


def test_a_beginning_may_be_without_commands_and_what_follows_not():
    assert bodies.read(b'{"commands":[]}', Beginning).commands == []
    with refused(Code.BAD_REQUEST, "length >= 1.*secret.*commands"):
        bodies.read(b'{"secret":"s","commands":[]}', Following)
    assert bodies.read(b'{"secret":"s","commands":[1]}', Following).secret == "s"


@pytest.mark.parametrize("form", [Beginning, Following])
@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b'{"commands":[1', "not JSON"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"commands":["\xff"]}', "not UTF-8"),
        (b"[]", "send .*commands"),
        (b'{"commands":5}', "send .*commands"),
        (b'{"secret":"s","commands":[%b0]}' % (b"0," * MAX_COMMANDS), "length <= 100"),
        (b'{"secret":"s","commands":[' + b"[" * 30_000, "deep|not JSON"),
    ],
)
def test_what_is_no_such_body_is_refused_with_what_would_be_right(form, raw, reason):
    with refused(Code.BAD_REQUEST, reason):
        bodies.read(raw, form)


def test_a_body_that_is_nested_too_deep_is_named(monkeypatch):
    class Deep:
        @staticmethod
        def decode(*_: object, **__: object) -> None:
            raise RecursionError

    monkeypatch.setattr(bodies.msgspec, "json", Deep)
    with refused(Code.BAD_REQUEST, "too deep"):
        bodies.read(b"{}", Beginning)
