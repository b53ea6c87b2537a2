"""What the back end tells a gateway to do with its sessions: control messages, and revocations above all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from services.gateway.node.registry import Registry
from services.gateway.node.relay import Relay
from services.gateway.session.session import Session
from services.kernel.broker.port import Entry
from services.kernel.domain import control
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Close, OpenlineError
from services.kernel.tokens.known_revocations import KnownRevocations
from services.kernel.tokens.revocations import Revocation, Revocations

RETRY_SECONDS = 1.0

RELOAD_SECONDS = 60.0
"""Between two looks at the record although nothing was missed; what has ended is dropped then."""

log = structlog.get_logger(__name__)


class ControlMessages:
    """Carries them out."""

    def __init__(
        self,
        registry: Registry,
        revocations: Revocations,
        *,
        wall: Callable[[], float],
        move: Callable[[str, float], None],
        probe: Callable[[str], None],
        drain: Callable[[control.ForNode], None],
        relay: Relay,
    ) -> None:
        """`move` moves the clients of a front door's instance, by its name, within the given seconds.

        `probe` asks a user's silent connections whether they live. `drain` gets what is meant for a gateway by its name.
        """
        self._registry = registry
        self._known = KnownRevocations(revocations)
        self._wall = wall
        self._move = move
        self._probe = probe
        self._drain = drain
        self._relay = relay

    @property
    def is_loaded(self) -> bool:
        """Whether the record of revocations was read, so a revoked token opens nothing any more."""
        return self._known.loaded

    async def run(self) -> None:
        """Look at the record now and again, and keep what is known of it small, until cancelled."""
        while True:
            await self.load()
            await asyncio.sleep(RELOAD_SECONDS)
            self._known.revoked.drop_ended(self._wall())

    def covers(self, claims: Claims) -> bool:
        """Whether the token with these claims was revoked."""
        return self._known.revoked.covers(claims)

    def handle(self, entry: Entry) -> None:
        """Act on a control message, if it concerns anyone here."""
        message = control.decode(entry.fragment)
        if message is None:
            log.warning("control_message_ignored")
        elif isinstance(message, control.Revoke):
            self._revoke(message)
        elif isinstance(message, control.MoveClients):
            self._move(message.proxy, message.seconds)
        elif isinstance(message, control.ProbeUser):
            self._probe(message.user)
        elif isinstance(message, control.DrainNode | control.UndoDrain):
            self._drain(message)
        elif isinstance(message, control.CarryCommands):
            self._relay.carry(message)
        elif isinstance(message, control.CommandsTaken):
            self._relay.taken(message)
        else:
            for session in self._addressed(message):
                _apply(message, session)

    async def load(self, *, whole: bool = False) -> None:
        """Catch up with the record until it is had: an announcement may have been missed.

        `whole` after a resync: the new master may lack what came here by the bus, so that its record looks as before.
        """
        while True:
            try:
                await self._known.catch_up(self._wall(), whole=whole)
            except OpenlineError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return
            finally:
                # Also when what the record lacks could not be written back: what was read counts.
                self._close_revoked()

    def _addressed(self, message: control.ForSessions) -> list[Session]:
        if isinstance(message, control.DisconnectConnection | control.EndFormer | control.Direct):
            found = self._registry.get(message.connection)
            return [found] if found else []
        return self._registry.of(message.user)

    def _revoke(self, message: control.Revoke) -> None:
        fields = {
            "kind": message.kind,
            "value": message.value,
            "exp": message.exp,
            "cutoff": message.cutoff,
        }
        try:
            revocation = Revocation.from_dict(fields)
        except ValueError:
            log.warning("revocation_ignored", kind=message.kind)
            return
        self._known.revoked.add(revocation)
        self._close_revoked()

    def _close_revoked(self) -> None:
        revoked = self._known.revoked
        if not len(revoked):
            return
        for session in self._registry:
            if session.claims is not None and revoked.covers(session.claims):
                session.close(Close.REVOKED, "the token has been revoked")


def _apply(message: control.ForSessions, session: Session) -> None:
    match message:
        case control.DisconnectUser() | control.DisconnectConnection():
            session.close(message.code, message.reason)
        case control.EndFormer():
            if session.belongs_to(message.user, message.client):
                session.end_former()
        case control.SubscribeUser():
            session.subscribe_by_server(message.channel)
        case control.UnsubscribeUser():
            session.unsubscribe_by_server(message.channel, "unsubscribed by the server")
        case _:
            assert isinstance(message, control.Direct)
            session.direct(bytes(message.data), message.ts)
