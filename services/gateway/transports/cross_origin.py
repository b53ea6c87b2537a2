"""What scripts of other origins may do with streams: those of OPENLINE_ALLOWED_ORIGINS."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.origins import Origins
from services.kernel.http import problems

_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "Authorization, Content-Type, Last-Event-ID, Cache-Control",
    "access-control-max-age": "600",
}


class CrossOrigin:
    """Headers by origin; cookies travel with them."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def headers(self, request: Request) -> dict[str, str]:
        """Those of an answer that the request's origin may read; none for a foreign one."""
        origin = request.headers.get("origin")
        if origin is None or not self._origins.allows(origin):
            return {}
        return {
            "access-control-allow-origin": origin,
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "Retry-After, X-Request-Id",
            "vary": "Origin",
        }

    async def preflight(self, request: Request) -> Response:
        """What a browser on another origin asks before a script of its own sends headers or a body."""
        cors = self.headers(request)
        if not cors:
            return problems.response(
                OpenlineError(
                    Code.BAD_REQUEST, "OPENLINE_ALLOWED_ORIGINS does not list this origin"
                )
            )
        return Response(headers={**cors, **_PREFLIGHT})


def check_one_origin(request: Request) -> None:
    """Raises `bad_request` when the request has several: which one counts would be a guess."""
    if len(request.headers.getlist("origin")) > 1:
        raise OpenlineError(Code.BAD_REQUEST, "send the header Origin once")
