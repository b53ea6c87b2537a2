"""What a client says of itself when it comes back, so that the connection it had before ends and it takes its place."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from services.kernel.protocol.commands import Auth


class Returning(NamedTuple):
    """`previous`: the id of the connection before. `client`: the digest of an anonymous client's name for itself.

    The name is the client's secret: connections' ids are seen by all in a room, so an id alone proves nothing.
    """

    previous: str = ""
    client: str = ""

    @classmethod
    def of(cls, command: Auth, *, anonymous: bool) -> Returning | None:
        """What `auth` says; None when it says nothing of this."""
        client = digest(command.client) if anonymous and command.client else ""
        previous = command.previous or ""
        return cls(previous, client) if previous or client else None


NEWCOMER = Returning()
"""Of a client that said nothing."""


def digest(client: str) -> str:
    """How an anonymous client is known to the fleet."""
    return hashlib.sha256(client.encode()).hexdigest()[:32]
