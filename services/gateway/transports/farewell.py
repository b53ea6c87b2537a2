"""A refusal that every WebSocket client can read: it is let in, and told by code and reason.

A browser's page sees of an HTTP refusal only 1006, as of a line that broke, and would come back for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.websocket import Acceptance, Connection
from services.kernel.domain.codes import Close, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.protocol import subprotocols

_READ = Limits().frame_bytes
"""What such a client may send, and nobody hears: a frame that is too big would end it before it has read the reason."""


def farewell(error: OpenlineError, offered: Sequence[str]) -> Acceptance:
    """Let a client in that offers these subprotocols, to close its connection with 4000 and the reason."""

    def close(connection: Connection) -> None:
        connection.close(Close.BAD_REQUEST, error.message)

    return Acceptance(close, max_bytes=_READ, subprotocol=subprotocols.named(offered))
