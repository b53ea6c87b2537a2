"""Whether a client is let in: judged in one place for the fast accept and for the ASGI routes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from services.gateway.node.node import Node
from services.gateway.node.quota import Quota
from services.gateway.session.session import Session
from services.gateway.session.sse import LIMIT_SECONDS
from services.gateway.transports.credentials import Credential, Later, credential, verify
from services.gateway.transports.endpoints import Destination, Endpoint
from services.gateway.transports.handshake_request import ClientRequest
from services.gateway.websocket import Acceptance, Connection
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError, connection_limit
from services.kernel.domain.origins import Origins

PROXY = "x-openline-proxy"
"""The header in which the front door names its instance. A client that forges it is only moved along with that instance's."""

_MAX_PROXY = 253


class Unverified(NamedTuple):
    """The decision needs an answer to wait for: whose credential this is."""

    credential: Credential
    destination: Destination
    proxy: str


class Admission:
    """Decides on WebSocket handshakes for one node."""

    def __init__(self, node: Node, origins: Origins) -> None:
        self._node = node
        self._origins = origins
        self._accepted = node.metrics.handshakes.labels("websocket", "accepted")

    def admit(
        self, request: ClientRequest, endpoint: Endpoint, *, values: Iterable[str]
    ) -> Acceptance | Unverified:
        """Decide by what is known here and now; `values` are those in the path. Raises OpenlineError for a refusal."""
        destination = endpoint.destination(self._node, request, *values)
        refuse_newcomers(self._node)
        found = credential(request, self._origins)
        proxy = proxy_of(request.headers)
        if not isinstance(found, Credential):
            return self._acceptance(destination, found, proxy)
        claims = None if found.is_ticket else self._node.tokens.seen(found.text)
        if claims is None:
            return Unverified(found, destination, proxy)
        return self._acceptance(destination, claims, proxy)

    async def verify(self, unverified: Unverified) -> Acceptance:
        """Ask for the decision. Raises `unauthorized` or `unavailable`."""
        claims = await verify(unverified.credential, self._node.tokens)
        return self._acceptance(unverified.destination, claims, unverified.proxy)

    def _acceptance(
        self, destination: Destination, who: Claims | Later | None, proxy: str
    ) -> Acceptance:
        return Acceptance(
            partial(self._begin, destination.session, who, proxy),
            max_bytes=self._node.limits.frame_bytes,
            subprotocol=destination.subprotocol,
            greets=destination.greets and not isinstance(who, Later),
        )

    def _begin(
        self,
        make: Callable[[Connection], Session],
        who: Claims | Later | None,
        proxy: str,
        connection: Connection,
    ) -> Session | None:
        """The handshake was answered: the session, or None when its address has too many connections."""
        if not within_address_limit(self._node.quota, connection):
            return None
        self._accepted.inc()
        session = make(connection)
        self._node.quota.came(connection.address, session)
        session.proxy = proxy
        if isinstance(who, Later):
            session.schedule()
        else:
            session.start(who)
        return session


def proxy_of(headers: Mapping[str, str]) -> str:
    """The instance of the front door that a request came through; one string for all its clients."""
    return sys.intern(headers.get(PROXY, "")[:_MAX_PROXY])


def within_address_limit(quota: Quota, connection: Connection) -> bool:
    """Count the connection; or close it with a code, which a browser can read where it cannot read a refusal."""
    try:
        quota.admit(connection.address, connection.last_received)
    except OpenlineError as error:
        connection.close(connection_limit(error), error.message)
        return False
    return True


def check_address_limit(node: Node, address: str) -> None:
    """Count a stream of this address. Raises `rate_limited`, also where it lasts: whoever reads a stream comes back anyway."""
    try:
        node.quota.admit(address, node.now())
    except OpenlineError as error:
        raise OpenlineError(Code.RATE_LIMITED, error.message, retry_after=LIMIT_SECONDS) from None


def refuse_newcomers(node: Node) -> None:
    """Raises `unavailable` when the node is leaving, or hands over connections: the front door asks the next one."""
    if node.draining:
        raise OpenlineError(Code.UNAVAILABLE, "this gateway is draining; reconnect", retry_after=1)
    if node.turns_away:
        raise OpenlineError(
            Code.UNAVAILABLE,
            "this gateway hands connections to others, which have fewer; reconnect",
            retry_after=1,
        )
