"""Opening handshakes that a gateway answers with an HTTP status."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response


async def handshake_refused(url: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """The HTTP answer to a WebSocket handshake; fails when it is accepted."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, additional_headers=headers, compression=None, proxy=None):
            pass
    return caught.value.response
