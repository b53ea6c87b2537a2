"""What is read of a request to publish: head and body, each looked at once."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope


class Asked:
    """A request as ASGI brings it. Of headers that come several times the first counts, but for `authorization`."""

    __slots__ = ("_receive", "authorization", "headers", "media_type", "scope")

    def __init__(self, scope: Scope, receive: Receive | None = None) -> None:
        named = list(scope["headers"])
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(reversed(named))
        self.authorization = [v.decode("latin-1") for name, v in named if name == b"authorization"]
        given = self.headers.get(b"content-type", b"").decode("latin-1")
        # Without parameters, in lower case; empty when none is named.
        self.media_type = given.partition(";")[0].strip().lower()
        self._receive = receive

    async def body(self) -> bytes:
        """The whole body; to be asked for once. Raises ClientDisconnect."""
        assert self._receive is not None
        message = await self._receive()
        parts = [message.get("body", b"")]
        while message.get("more_body") and message["type"] == "http.request":
            message = await self._receive()
            parts.append(message.get("body", b""))
        if message["type"] != "http.request":
            raise ClientDisconnect
        return parts[0] if len(parts) == 1 else b"".join(parts)
