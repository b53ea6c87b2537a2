"""What sessions ask of the gateway they live on."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from services.gateway.fanout.port import ChannelHost
from services.gateway.fanout.subscriber import Subscription
from services.gateway.hub.replay_budget import ReplayBudget
from services.gateway.session.returning import Returning
from services.kernel.broker.port import Broker, Done, Draft, Present
from services.kernel.domain.claims import Claims
from services.kernel.domain.limits import Limits
from services.kernel.domain.namespaces import Namespaces
from services.kernel.domain.positions import Position
from services.kernel.domain.schemas import Schemas

if TYPE_CHECKING:
    from services.gateway.session.session import Session


class Host(ChannelHost, Protocol):
    """The node as its sessions see it. `wall` is seconds since 1970, `announcement` what `connected` says of the node."""

    name: str
    limits: Limits
    namespaces: Namespaces
    schemas: Schemas
    replay_budget: ReplayBudget[Session | Subscription]
    broker: Broker
    announcement: dict[str, Any]

    def wall(self) -> float:
        """The time by which tokens expire."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something to its end; what it raises is logged."""

    def session(self, connection: str) -> Session | None:
        """The session of a connection, if it is here."""

    def register(self, session: Session) -> None:
        """Count an authenticated session.

        Raises `rate_limited` or `limit_exceeded` for one too many, `unauthorized` for a token revoked by now.
        """

    def unregister(self, session: Session) -> None:
        """Forget a session that has ended, known or not."""

    def wake(self, session: Session, at: float) -> None:
        """Tick a session at this time."""

    def regroup(self, session: Session) -> None:
        """A session became hindered or unhindered."""

    def subscribe(self, subscription: Subscription, *, since: Position | None, last: int) -> None:
        """Join a channel; its session's `joined` or `refused` is called, now or later."""

    def unsubscribe(self, subscription: Subscription) -> None:
        """Leave a channel."""

    def publish(self, draft: Draft, done: Done) -> None:
        """Store a draft; `done` gets the result."""

    def charge(self, user: str) -> float:
        """Count a command of a user; 0, or the seconds to wait."""

    def charge_bytes(self, session: Session, size: int) -> float:
        """Count what a client sends, by its user or else its address; 0, or the seconds to wait."""

    def end_former(self, connection: str, *, user: str | None, client: str) -> None:
        """End the connection that a client had before, on whichever gateway, if it is this user's or client's."""

    def seek(self, address: str, channel: str) -> None:
        """Count a channel that an address asks for and nobody here listens to. Raises `rate_limited`."""

    async def verify(self, token: str) -> Claims:
        """The claims of a valid token. Raises `unauthorized` or `unavailable`."""

    async def enter(
        self, subscription: Subscription, info: object, returning: Returning
    ) -> Present:
        """Enter presence with what the token says of its holder, and the client of itself. Raises `unavailable`."""

    async def leave(self, subscription: Subscription, *, linger: bool) -> None:
        """Leave presence, at once or after the grace."""
