"""Joins, leaves, counts and typing of one channel, as its subscribers here are sent them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from services.gateway.fanout.port import ChannelHost
from services.gateway.fanout.subscriber import Subscriber
from services.kernel.broker.port import ANNOUNCED_MEMBERS

TYPING_SECONDS = 1.0
COUNT_SECONDS = 1.0

Send = Callable[[str, bytes, Callable[[Subscriber], bool]], None]
"""Sends an event, by its name and the JSON text of its fields, to the subscribers that a predicate accepts."""


class _Announced(msgspec.Struct):
    """What is read of a join or leave; the rest is sent on as it is."""

    connection: str
    count: int
    users: int


_announced = msgspec.json.Decoder(_Announced)


class PresenceEvents:
    """What limits how often presence is spoken of: N joins at once must not cost N x N events."""

    __slots__ = ("_count", "_counted_at", "_host", "_send", "_typed_at")

    def __init__(self, host: ChannelHost, send: Send) -> None:
        self._host = host
        self._send = send
        self._typed_at: dict[str | None, float] = {}
        self._counted_at = float("-inf")
        self._count: bytes | None = None

    def typing(self, fragment: bytes) -> None:
        """A user is typing: sent to the others, at most once a second a user."""
        user = msgspec.json.decode(b"{" + fragment + b"}").get("user")
        now = self._host.now()
        if now - self._typed_at.get(user, float("-inf")) < TYPING_SECONDS * 0.9:
            return
        if len(self._typed_at) > ANNOUNCED_MEMBERS:
            self._typed_at.clear()
        self._typed_at[user] = now
        self._send("typing", fragment, lambda session: session.user != user or user is None)

    def joined_or_left(self, event: str, fragment: bytes) -> None:
        """A member has joined or left: sent one by one in a small channel, as a count in a large one."""
        announced = _announced.decode(b"{" + fragment + b"}")
        if announced.count > ANNOUNCED_MEMBERS:
            counts = f'"count":{announced.count},"users":{announced.users}'.encode()
            self._counted(counts)
            return
        self._count = None  # an older number that waits for its second would come last
        connection = announced.connection
        self._send(event, fragment, lambda session: session.id != connection)

    def _counted(self, counts: bytes) -> None:
        waiting, self._count = self._count is not None, counts
        if not waiting:
            wait = self._counted_at + COUNT_SECONDS - self._host.now()
            self._host.later(max(0.0, wait), self._send_count)

    def _send_count(self) -> None:
        counts, self._count = self._count, None
        if counts is not None:
            self._counted_at = self._host.now()
            self._send("count", counts, lambda _session: True)
