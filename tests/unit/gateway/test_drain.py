"""A gateway that leaves: everybody is told, and each goes at its own moment."""

from __future__ import annotations

import asyncio

from services.gateway import drain as module
from services.gateway.drain import drain
from services.gateway.roster import Roster
from tests.support.bare_session import kinds, opened
from tests.support.gateway_host import ManualHost


async def test_everybody_is_told_at_once_and_closed_one_after_another(monkeypatch):
    monkeypatch.setattr(module, "SLOT", 0.01)
    host, roster = ManualHost(), Roster()
    sessions = [opened(host) for _ in range(4)]
    for session in sessions:
        roster.add(session)
    drained = host.metrics.drained
    draining = asyncio.create_task(drain(roster, 0.08, drained=drained))
    await asyncio.sleep(0)
    assert [kinds(session) for session in sessions] == [["reconnect"]] * 4
    assert sum(session.is_closed for session in sessions) == 1
    next(s for s in sessions if not s.is_closed).closed(1000, "", clean=True)
    late = opened(host)
    roster.add(late)
    await draining
    assert sorted(s.connection.code or 0 for s in [*sessions, late]) == [0, 4100, 4100, 4100, 4100]
    assert drained.labels("moved")._value.get() == 1
    assert drained.labels("closed")._value.get() == 4
    frames = {id(session.connection.sent[-1]) for session in sessions}
    assert len(frames) == 1  # encoded once for all who speak alike


async def test_in_no_time_and_with_nobody_it_is_over_at_once():
    roster = Roster()
    host = ManualHost()
    await drain(roster, 5, drained=host.metrics.drained)
    session = opened(host)
    roster.add(session)
    await drain(roster, 0, drained=host.metrics.drained)
    assert session.is_closed
