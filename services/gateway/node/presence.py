"""Presence of this node's members: sent in order, repeated after an outage, sent in full when the store forgot it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from services.gateway.fanout.subscriber import Subscription
from services.gateway.session.returning import NEWCOMER, Returning
from services.kernel.broker.port import Broker, Entered, Member, Present
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.namespaces import Namespaces

GRACE = 5.0
"""Seconds after an unclean end in which a return shows nothing."""

RETRY = 1.0
CONCURRENT = 64
"""Calls under way at once: a mass reconnect must not fill the store's queue."""

Key = tuple[str, str]

log = structlog.get_logger(__name__)


class Presence:
    """Members of this node by channel and connection. Calls for the same one keep their order."""

    def __init__(
        self,
        broker: Broker,
        namespaces: Namespaces,
        *,
        incarnation: Callable[[], str],
    ) -> None:
        self._broker = broker
        self._namespaces = namespaces
        self._incarnation = incarnation
        self._members: dict[Key, Member] = {}
        self._tails: dict[Key, asyncio.Future[Any]] = {}
        self._free = asyncio.Semaphore(CONCURRENT)

    def __len__(self) -> int:
        """How many are present or linger."""
        return len(self._members)

    async def enter(
        self, subscription: Subscription, info: object, returning: Returning = NEWCOMER
    ) -> Present:
        """Become present, with what the token says of its holder, in the place that its client had. Raises `unavailable`."""
        session = subscription.session
        member = Member(
            user=session.user,
            connection=session.id,
            info=b"" if info is None else msgspec.json.encode(info),
            since=int(time.time() * 1000),
            client=returning.client,
        )
        key = (subscription.channel, session.id)
        former = returning.previous
        entered: Entered = await self._in_order(key, self._enter, key, member, former=former)
        if entered.former:
            # Its leave would be one more call of the store, and find nobody.
            self._members.pop((subscription.channel, entered.former), None)
        # Kept for as long as the subscription lasts, so without what is of no use to it.
        return Present(entered.count, entered.users)

    async def leave(self, subscription: Subscription, *, linger: bool) -> None:
        """Leave, at once or after the grace; tried until the store has heard it. Not where another has taken the place here."""
        key = (subscription.channel, subscription.session.id)
        if linger:
            await self._in_order(key, self._leave, key, linger=True)
            await asyncio.sleep(GRACE)
        await self._in_order(key, self._leave, key, linger=False)

    async def enter_all(self) -> None:
        """The store has forgotten this node: enter every member again, tried until the store has heard it."""
        members = list(self._members.items())
        for start in range(0, len(members), CONCURRENT):
            await asyncio.gather(
                *(
                    self._in_order(key, self._again, key, member)
                    for key, member in members[start : start + CONCURRENT]
                )
            )

    async def _in_order(self, key: Key, work: Any, *arguments: Any, **options: Any) -> Any:
        before = self._tails.get(key)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tails[key] = done
        try:
            if before is not None:
                await before
            return await work(*arguments, **options)
        finally:
            if not done.done():  # the caller that waited was cancelled, and `done` with it
                done.set_result(None)
            if self._tails.get(key) is done:
                del self._tails[key]

    async def _enter(self, key: Key, member: Member, *, former: str) -> Entered:
        # Kept even when the call fails: whether it was entered is not known then, so it must leave, or it would stay.
        self._members[key] = member
        async with self._free:
            return await self._broker.enter(
                key[0],
                member,
                self._incarnation(),
                announce=self._announces(key),
                former=former,
            )

    async def _again(self, key: Key, member: Member) -> None:
        while self._members.get(key) is member:
            try:
                async with self._free:
                    await self._broker.enter(
                        key[0], member, self._incarnation(), announce=self._announces(key)
                    )
            except OpenlineError as error:
                # Refused as long as the new incarnation has not beaten: its lease begins with its first beat.
                log.debug("presence_restore_failed", channel=key[0], error=error.message)
                await asyncio.sleep(RETRY)
            else:
                return

    async def _leave(self, key: Key, *, linger: bool) -> None:
        if key not in self._members:
            return
        if not linger:
            del self._members[key]
        while True:
            try:
                async with self._free:
                    await self._broker.leave(
                        *key, self._incarnation(), announce=self._announces(key), linger=linger
                    )
            except OpenlineError:
                if linger:
                    return
                await asyncio.sleep(RETRY)
            else:
                return

    def _announces(self, key: Key) -> bool:
        return self._namespaces.of(key[0]).join_leave
