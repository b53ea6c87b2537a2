"""The call by which an instance of the front door has its clients moved before it goes: on the gateway's own port."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.gateway.node.fleet import Fleet
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.http import addresses, problems

MAX_SECONDS: Final = 600


class MovingRoute:
    """`POST /proxies/{proxy}/move?seconds=30` on one node, answered for the whole fleet.

    Only the addresses of OPENLINE_TRUSTED_PROXIES may move clients, as they alone may speak for them.
    """

    def __init__(self, fleet: Fleet, trusted: Sequence[str]) -> None:
        self._fleet = fleet
        self._anyone = "*" in trusted
        self._networks = () if self._anyone else [ipaddress.ip_network(n) for n in trusted]

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/proxies/{proxy}/move", self.move, methods=["POST"])]

    async def move(self, request: Request) -> Response:
        """202 when every gateway is told."""
        try:
            self._check_caller(request)
            seconds = _seconds(request.query_params.get("seconds", ""))
            await self._fleet.order_move(request.path_params["proxy"], seconds)
        except OpenlineError as error:
            return problems.response(error)
        return JSONResponse({}, status_code=202)

    def _check_caller(self, request: Request) -> None:
        caller = addresses.client(request.scope)
        if not self._anyone and not addresses.in_networks(caller, self._networks):
            raise OpenlineError(
                Code.FORBIDDEN,
                "this call is answered only to addresses of OPENLINE_TRUSTED_PROXIES",
            )


def _seconds(text: str) -> float:
    if not text.isascii() or not text.isdecimal() or len(text) > 3 or int(text) > MAX_SECONDS:  # noqa: PLR2004 - digits
        raise OpenlineError(
            Code.BAD_REQUEST, f"give ?seconds=, a whole number from 0 to {MAX_SECONDS}"
        )
    return float(text)
