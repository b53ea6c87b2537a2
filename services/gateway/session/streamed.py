"""The native protocol over HTTP: events on a response that goes on, commands in requests of their own."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence

from services.gateway.fanout.wire_format import STREAMED
from services.gateway.session.native import NativeSession
from services.gateway.session.port import Host
from services.gateway.websocket import Connection
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.protocol import sse

BUSY_SECONDS = 1.0
"""How long a client waits whose commands before have not been carried out yet."""


class StreamedSession(NativeSession):
    """A native session whose connection receives nothing by itself: `take` brings what its client has sent.

    Whoever sends commands must know the secret that `connected` names.
    """

    __slots__ = ("_secret", "_taken")

    transport = "http"
    alive = sse.HEARTBEAT

    def __init__(self, node: Host, connection: Connection) -> None:
        super().__init__(node, connection, STREAMED)
        self._secret = secrets.token_urlsafe(24)
        self._taken = ""

    def credentials(self) -> Mapping[str, str]:
        """See NativeSession."""
        return {"secret": self._secret}

    def deliver(self, commands: Sequence[bytes], *, digest: str, request: str = "") -> None:
        """Take a request's commands from who proves, by the secret's digest, to be the client.

        A request that the bus brings twice, known by its name, counts once. Raises `forbidden`, or `rate_limited` while too
        many commands wait.
        """
        if not hmac.compare_digest(digest_of(self._secret), digest):
            raise OpenlineError(
                Code.FORBIDDEN, "the secret is not this connection's: see connected"
            )
        if request and request == self._taken:
            return
        if self._waiting is not None and self._waiting.is_heavy:
            raise OpenlineError(
                Code.RATE_LIMITED, "earlier commands are still waiting", retry_after=BUSY_SECONDS
            )
        self._taken = request
        self.take(commands)

    def take(self, commands: Sequence[bytes]) -> None:
        """Carry out commands in their order, each a JSON text in UTF-8."""
        self.connection.last_received = self.node.now()
        for command in commands:
            if self.is_closed:
                return
            self.received_text(command)

    def ping(self) -> None:
        """See NativeSession; nothing comes before `connected`, but a proxy must not take the way for dead."""
        if self.opening is None:
            super().ping()
        else:
            self.write(self.alive)

    def probe(self, since: float) -> bool:  # noqa: ARG002
        """See Session. Nothing answers by itself here, as browsers answer a protocol ping: `ping` has its time."""
        return False

    def _close(self, code: int, reason: str, *, linger: bool) -> None:
        if not self.is_closed:
            # Not sent: what is held until the session is open would never leave.
            self.write(self.wire_format.event("closing", {"code": int(code), "reason": reason}))
        super()._close(code, reason, linger=linger)


def digest_of(secret: str) -> str:
    """How a secret is named on the bus, where others could read it."""
    return hashlib.sha256(secret.encode()).hexdigest()
