"""The bearer token of a request (RFC 6750), and the network that administrative calls must come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlette.types import Scope

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.http import addresses
from services.kernel.http.addresses import Network


def token(authorization: Sequence[str]) -> str:
    """The token in the headers `Authorization` of a request. Raises `unauthorized` unless there is exactly one.

    No other place counts (RFC 6750 section 2.1): what is in an address gets logged.
    """
    scheme, _, found = authorization[0].partition(" ") if len(authorization) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not found.strip():
        raise OpenlineError(Code.UNAUTHORIZED, "send one header Authorization: Bearer <token>")
    return found.strip()


def check_admin(scope: Scope, networks: Iterable[Network]) -> None:
    """Raises `forbidden` unless the request comes from one of `networks`, the setting OPENLINE_ADMIN_NETWORKS."""
    if not addresses.in_networks(addresses.client(scope), networks):
        raise OpenlineError(
            Code.FORBIDDEN, "this call is answered only to networks of OPENLINE_ADMIN_NETWORKS"
        )
