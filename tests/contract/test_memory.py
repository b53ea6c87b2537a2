"""The broker in memory keeps the contract."""

from __future__ import annotations

import pytest

from services.kernel.broker.memory.broker import MemoryBroker
from tests.contract.broker_contract import BrokerContract
from tests.contract.steps import LEASE


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    async def wait(self, seconds: float) -> None:
        self.now += seconds


class TestMemory(BrokerContract):
    @pytest.fixture
    def now(self):
        return Clock()

    @pytest.fixture
    def pass_time(self, now):
        return now.wait

    @pytest.fixture
    def age(self, now):
        return now.wait

    @pytest.fixture
    def pass_hour(self, now):
        return lambda part=1.0: now.wait(part * 3600)

    @pytest.fixture
    def make(self, now):
        async def make(**options) -> MemoryBroker:
            return MemoryBroker(**{"lease": LEASE, "clock": now, **options})

        return make

    @pytest.fixture
    def shorten(self, broker):
        async def shorten(on):
            broker.short = on

        return shorten

    @pytest.fixture
    async def broker(self, make):
        return await make()
