"""Commands that wait: in their order, bounded in number, and too many bytes are noticed."""

from __future__ import annotations

from services.gateway.session import command_queue as module
from services.gateway.session.command_queue import CommandQueue
from services.kernel.domain.codes import Code
from services.kernel.protocol.commands import Ping
from tests.support.refusals import refused


def test_first_in_first_out():
    commands_waiting = CommandQueue()
    for number in range(3):
        commands_waiting.put(Ping(id=number), 10)
    assert (len(commands_waiting), commands_waiting.first.id) == (3, 0)
    assert [commands_waiting.pop().id for _ in range(3)] == [0, 1, 2]
    assert not len(commands_waiting)


def test_so_many_commands_may_wait(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    commands_waiting = CommandQueue()
    commands_waiting.put(Ping(), 1)
    commands_waiting.put(Ping(), 1)
    with refused(Code.LIMIT_EXCEEDED, "more than 2 commands wait"):
        commands_waiting.put(Ping(), 1)
    assert len(commands_waiting) == 2


def test_it_is_heavy_above_a_quarter_mebibyte():
    commands_waiting = CommandQueue()
    commands_waiting.put(Ping(), 262_144)
    assert not commands_waiting.is_heavy
    commands_waiting.put(Ping(), 1)
    assert commands_waiting.is_heavy
