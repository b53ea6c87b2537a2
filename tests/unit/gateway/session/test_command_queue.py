"""Commands that wait: in their order, bounded in number, and too many bytes are noticed."""

from __future__ import annotations

from services.gateway.session import command_queue as module
from services.gateway.session.command_queue import Backlog
from services.kernel.domain.codes import Code
from services.kernel.protocol.commands import Ping
from tests.support.refusals import refused


def test_first_in_first_out():
    backlog = Backlog()
    for number in range(3):
        backlog.put(Ping(id=number), 10)
    assert (len(backlog), backlog.first.id) == (3, 0)
    assert [backlog.take().id for _ in range(3)] == [0, 1, 2]
    assert not len(backlog)


def test_so_many_commands_may_wait(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    backlog = Backlog()
    backlog.put(Ping(), 1)
    backlog.put(Ping(), 1)
    with refused(Code.LIMIT_EXCEEDED, "more than 2 commands wait"):
        backlog.put(Ping(), 1)
    assert len(backlog) == 2


def test_it_is_heavy_above_a_quarter_mebibyte():
    backlog = Backlog()
    backlog.put(Ping(), 262_144)
    assert not backlog.is_heavy
    backlog.put(Ping(), 1)
    assert backlog.is_heavy
