"""What a session collects until it can be told `connected`."""

from __future__ import annotations

from services.gateway.fanout.subscription import Subscription
from services.gateway.hub.port import Joined


class Opening:
    """Frames that must not overtake `connected`, and the places in the channels that it names.

    `awaited` are the subscriptions of which the answer is still to come.
    """

    __slots__ = ("awaited", "frames", "places")

    def __init__(self) -> None:
        self.frames = bytearray()
        self.places: dict[str, Joined] = {}
        self.awaited: set[Subscription] = set()

    def awaits(self, subscription: Subscription) -> bool:
        """Whether `connected` waits for this subscription."""
        return subscription in self.awaited

    def answered(self, subscription: Subscription) -> bool:
        """Wait for it no longer; whether it was the last one."""
        self.awaited.discard(subscription)
        return not self.awaited

    def hold(self, frame: bytes, *, allowance: int) -> bool:
        """Keep a frame; False when it would be more than `allowance` bytes together."""
        if len(self.frames) + len(frame) > allowance:
            return False
        self.frames += frame
        return True
