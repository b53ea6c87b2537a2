"""What a gateway tells the fleet a few times a second: listeners of channels, connections and commands of users."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress

from services.gateway.node.crowds import Newcomer
from services.gateway.node.quota import Quota
from services.gateway.node.shares import Shares
from services.gateway.session.session import Session
from services.kernel.broker.port import Broker
from services.kernel.domain import channels
from services.kernel.domain.codes import OpenlineError, connection_limit
from services.kernel.domain.limits import Limits
from services.kernel.ops import pace

REPORT_SECONDS = 0.25
"""Between two reports."""

COUNTED_EVERY = 20
"""Reports, until the gateways of the fleet are counted again."""

_BYTES = "bytes "
"""Begins the names of buckets of bytes; those of commands are users, whose names have no space."""


class Reports:
    """Collects what has changed, and tells it again where the store was away."""

    def __init__(
        self,
        broker: Broker,
        limits: Limits,
        quota: Quota,
        *,
        incarnation: Callable[[], str],
        now: Callable[[], float],
        full: Callable[[str], None],
        counted: Callable[[int], None],
    ) -> None:
        """`full` gets each user that has too many connections over the fleet, `counted` the number of its gateways."""
        self._broker = broker
        self._limits = limits
        self._quota = quota
        self._incarnation = incarnation
        self._now = now
        self._full = full
        self._counted = counted
        self._counts: dict[str, int] = {}
        self._newcomers: dict[str, list[Session]] = {}

    def listeners(self, channel: str, count: int) -> None:
        """Set the number of a channel's listeners here."""
        self._counts[channel] = count

    def connections(self, user: str, count: int) -> None:
        """Set the number of a user's connections here."""
        self._counts[channels.connections(user)] = count

    def newcomer(self, user: str, session: Session) -> None:
        """A connection of a user has come: it is closed when the fleet has too many."""
        self._newcomers.setdefault(user, []).append(session)

    def again(self) -> None:
        """The fleet has forgotten this gateway: tell it of all addresses once more."""
        self._quota.recount()

    async def run(self) -> None:
        """Report until cancelled."""
        for number in itertools.count():
            if number % COUNTED_EVERY == 0:
                with suppress(OpenlineError):
                    self._counted(len(await self._broker.nodes()))
            await pace.pause(REPORT_SECONDS)
            await self.send_counts()
            await self._send_rates()

    async def send_counts(self) -> None:
        """Tell the counts that have changed; kept for the next time when the store does not answer."""
        addresses, crowds = self._quota.crowds.report()
        self._counts |= {channels.address(name): count for name, count in addresses.items()}
        if not self._counts:
            return
        counts, self._counts = self._counts, {}
        newcomers, self._newcomers = self._newcomers, {}
        checked: set[str] = set()
        if self._limits.rates:
            checked.update(map(channels.connections, newcomers), map(channels.address, crowds))
        try:
            totals = await self._broker.listeners(self._incarnation(), counts, totals=checked)
        except OpenlineError:
            self._counts = {**counts, **self._counts}
            for user, sessions in newcomers.items():
                here = [session for session in sessions if not session.is_closed]
                if here:
                    self._newcomers[user] = here + self._newcomers.get(user, [])
            return
        if self._limits.rates:
            self._check_users(newcomers, totals)
            self._check_addresses(crowds, totals)

    def _check_users(
        self, newcomers: Mapping[str, list[Session]], totals: Mapping[str, int]
    ) -> None:
        """Close the newest of those that came since the last report where the fleet has too many of a user.

        Counted as they were reported, so of two gateways the later one sees all, and the other one its own.
        """
        limit = self._limits.connections_per_user
        for user, sessions in newcomers.items():
            total = totals[channels.connections(user)]
            if total <= limit:
                self._quota.fits(user)
            else:
                self._full(user)
            for session in sessions[::-1][: max(0, total - limit)]:
                refusal = self._quota.too_many(user, self._now())
                session.close(connection_limit(refusal), refusal.message)

    def _check_addresses(
        self, crowds: Mapping[str, list[Newcomer]], totals: Mapping[str, int]
    ) -> None:
        """The same for addresses. Connections that came while the store was away are counted, but stay."""
        limit = self._limits.connections_per_address
        for address, newcomers in crowds.items():
            total = totals[channels.address(address)]
            if total <= limit:
                self._quota.address_fits(address)
            for newcomer in newcomers[::-1][: max(0, total - limit)]:
                refusal = self._quota.too_many_of_address(address, self._now())
                newcomer.close(connection_limit(refusal), refusal.message)

    async def _send_rates(self) -> None:
        await self._share(self._quota.commands, "")
        await self._share(self._quota.bytes, _BYTES)

    async def _share(self, shares: Shares, kind: str) -> None:
        """Tell what was used of the fleet's buckets of a kind, and learn what is left."""
        used = shares.report()
        if used:
            named = {kind + name: amount for name, amount in used.items()}
            with suppress(OpenlineError):
                levels = await self._broker.spend(named, rate=shares.rate, burst=shares.burst)
                left = {name.removeprefix(kind): level for name, level in levels.items()}
                shares.learn(left, self._now())
        shares.forget_full(self._now())
