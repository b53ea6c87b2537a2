"""Ends the logins of users that were revoked elsewhere, for good: the record forgets a revocation, a database does not."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from starlette.concurrency import run_in_threadpool

from services.auth.revoker import Revoker
from services.auth.store import Store
from services.kernel.domain.codes import OpenlineError
from services.kernel.ops import pace

EVERY = 1.0
"""Seconds between two looks at the record."""

BATCH = 500
"""Users in one transaction: at the start there may be fifty thousand, and SQLite has one writer."""

_log = structlog.get_logger(__name__)


class RevokedLogins:
    """Follows the record of revocations. What could not be ended, because the database is away, is tried again."""

    def __init__(
        self, revoker: Revoker, store: Store, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._revoker = revoker
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            with suppress(OpenlineError):
                await self.catch_up()
            await pace.pause(EVERY)

    async def catch_up(self) -> None:
        """End what was revoked since the last time. Raises `unavailable`."""
        await self._revoker.catch_up()
        users = self._revoker.take_users()
        left = iter(users.items())
        while batch := dict(itertools.islice(left, BATCH)):
            try:
                ended = await run_in_threadpool(self._store.end_logins, batch, self._clock())
            except OpenlineError:
                self._revoker.put_back(batch | dict(left))
                raise
            if ended:
                _log.info("logins_revoked", users=len(batch), logins=ended)
