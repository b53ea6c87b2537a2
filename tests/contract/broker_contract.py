"""The contract that every broker keeps: subclass it with fixtures that make a broker on an empty store."""

from __future__ import annotations

from tests.contract.bus_contract import BusContract
from tests.contract.log_contract import LogContract
from tests.contract.partition_contract import PartitionContract
from tests.contract.presence_contract import PresenceContract

LEASE = 30.0
"""Seconds: longer than a test runs, however busy the machine. Tests that wait for a lease's end make it shorter."""


class BrokerContract(LogContract, BusContract, PresenceContract, PartitionContract):
    """Fixtures of a subclass.

    `make(**options)` gives a broker on the test's store, `broker` one with a lease of LEASE seconds;
    `shorten(on)` makes the store's memory short, or gives it more; `pass_time(seconds)` lets the store's time pass; `now()` is that time in seconds since 1970. `pass_hour(part)` lets
    that part of an hour pass for heads.
    """
