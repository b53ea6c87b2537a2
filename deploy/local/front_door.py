"""The limits that nginx keeps by itself, as settings. limits.sh beside its configuration reads them, in every deployment."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from services.kernel.ops.settings import FromEnvironment

_MANY = 1_000_000


def _limit(default: int, what: str, *, low: int = 1, high: int = _MANY) -> Any:
    return Field(default, ge=low, le=high, description=f"{what} ({low} to {high})")


class Settings(FromEnvironment):
    """OPENLINE_NGINX_...: wider than the limits of the services, which say why where they refuse. Counts are by address."""

    nginx_handshake_rate: int = _limit(300, "handshakes a second: WebSocket and SSE")
    nginx_handshake_burst: int = _limit(2_000, "handshakes at once")
    nginx_connections: int = _limit(
        20_000, "open WebSockets and streams; no less than OPENLINE_CONNECTIONS_PER_ADDRESS"
    )
    nginx_call_rate: int = _limit(100, "calls of auth a second")
    nginx_call_burst: int = _limit(400, "calls of auth at once")
    nginx_open_calls: int = _limit(500, "calls of auth under way")
    nginx_back_end_rate: int = _limit(
        100,
        "calls a second of the publisher and of /auth/connect-tokens that bring no token; others have no rate here",
    )
    nginx_back_end_burst: int = _limit(400, "such calls at once")
    nginx_back_end_open_calls: int = _limit(2_000, "such calls under way, with and without a token")
    nginx_page_rate: int = _limit(100, "pages and other files a second")
    nginx_page_burst: int = _limit(400, "pages at once")
    nginx_body_bytes: int = _limit(
        1_048_576,
        "bytes of a body for the publisher, no less than OPENLINE_BODY_BYTES; auth and streams take 65536",
        low=65_536,
        high=16_777_216,
    )
    nginx_head_seconds: int = _limit(10, "seconds in which a request's head must come", high=60)
    nginx_body_seconds: int = _limit(
        15, "seconds between two pieces of a request's body", high=3_600
    )
