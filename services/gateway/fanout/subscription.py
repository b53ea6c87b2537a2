"""One connection's subscription to one channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.kernel.broker.port import Present

if TYPE_CHECKING:
    from services.gateway.fanout.audience import Audience
    from services.gateway.session.session import Session


class Subscription:
    """Ties a session to an audience.

    `sent` is the last offset written while the session lags (-1: it does not lag), in epoch `epoch`. `server` marks
    one that the server made; `joined` one whose join has been answered; `present` one that was entered into presence,
    `count` who was there then. `typed_at` is when its typing was last passed on, in seconds.
    """

    __slots__ = (
        "audience",
        "channel",
        "count",
        "epoch",
        "id",
        "joined",
        "present",
        "sent",
        "server",
        "session",
        "typed_at",
    )

    def __init__(
        self, session: Session, channel: str, *, id: int | str | None = None, server: bool = False
    ) -> None:
        self.session = session
        self.channel = channel
        self.id = id
        self.server = server
        self.joined = False
        self.audience: Audience | None = None
        self.present = False
        self.count: Present | None = None
        self.sent = -1
        self.epoch = ""
        self.typed_at = float("-inf")
