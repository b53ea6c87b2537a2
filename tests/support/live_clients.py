"""Live clients of both packages on a compose stack while one of its containers is killed, judged as `make chaos` does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from unittest.mock import patch

from loadtest.chaos.acts import Act
from loadtest.chaos.drive import Plan, drive
from loadtest.chaos.faults import ACTS
from loadtest.chaos.judge import Allowance, Judgement, judge
from loadtest.chaos.schedule import Fault
from loadtest.chaos.store_faults import MasterKill
from loadtest.chaos.system import Front
from tests.support.compose import ComposeStack
from tests.support.stack import ROOT

_AT = 2.0
_SECONDS = 12.0


class _Composed(Front):
    """The front door of a stack, and how to kill what is to be killed."""

    def __init__(self, stack: ComposeStack, kill: Callable[[], None]) -> None:
        (client,) = stack.run["clients"]
        login = {name: client[name] for name in ("client_id", "client_secret")}
        super().__init__(stack.url, stack.url, None, login)
        self.kill = kill


class _MasterKill(Act):
    """A container of Redis is killed; it lasts until another one has taken over."""

    name = "container-kill"
    cost = MasterKill.cost

    async def begin(self) -> None:
        """As `Act.begin`."""
        assert isinstance(self.front, _Composed)
        await asyncio.to_thread(self.front.kill)

    async def end(self) -> None:
        """It stays away."""


async def survive(stack: ComposeStack, kill: Callable[[], None], *, channels: int = 3) -> Judgement:
    """The judgement on clients of both packages, half of which publish. `kill` kills a master and returns when another one is."""
    plan = Plan(
        javascript=8,
        python=8,
        raw=0,
        publishers=4,
        every=200,
        channels=channels,
        direct=True,
        package=ROOT / "web/client.js",
    )
    with patch.dict(ACTS, {_MasterKill.name: _MasterKill}):
        fault = Fault(_AT, _MasterKill.name, "", 0)
        run = await drive(_Composed(stack, kill), plan, [fault], _SECONDS)
    assert run.settled
    cost = _MasterKill.cost
    return judge(asdict(run), lambda _: Allowance(cost.loses, cost.resets, cost.heals))


def check(judged: Judgement) -> None:
    """Assert that none missed a message without a word, had one twice, or in another order, and that many came."""
    assert judged.verdict.findings == []
    assert judged.needless == 0
    assert judged.counts["delivered"] > 1000
