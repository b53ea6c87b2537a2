"""The contract that every broker keeps: subclass it with fixtures that make a broker on an empty store."""

from __future__ import annotations

from tests.contract.bus_contract import BusContract
from tests.contract.log_contract import LogContract
from tests.contract.partition_contract import PartitionContract
from tests.contract.presence_contract import PresenceContract


class BrokerContract(LogContract, BusContract, PresenceContract, PartitionContract):
    """Fixtures of a subclass.

    `make(**options)` gives a broker on the test's store, `broker` one with a lease of LEASE seconds;
    `shorten(on)` makes the store's memory short, or gives it more; `pass_time(seconds)` lets the store's time pass; `now()` is
    that time in seconds since 1970. `age(seconds)` lets so much pass for what it holds, leases and whatever ends by itself,
    and `pass_hour(part)` that part of an hour for heads alone: nobody waits for those, however long they are.
    """
