"""May this holder do this in that channel? One answer for sockets and one for HTTP."""

from __future__ import annotations

from services.kernel.domain import channels
from services.kernel.domain.capabilities import Action
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.namespaces import Access, Namespace

_FIELD = {
    Action.SUBSCRIBE: "subscribe",
    Action.PUBLISH: "publish",
    Action.PRESENCE: "read_presence",
    Action.HISTORY: "read_history",
}
OWN = frozenset({Action.SUBSCRIBE, Action.PRESENCE, Action.HISTORY})
"""What one may do in a personal channel of one's own."""


def check(
    claims: Claims | None,
    namespace: Namespace,
    channel: str,
    action: Action,
    *,
    subscribed: bool = False,
) -> None:
    """Raises `forbidden` or `not_subscribed` unless the session may do this; `claims` None is an anonymous one.

    A `channels` claim is the whole list of its holder, plus `user:<sub>` where that is the holder's own; it cannot grant
    what the namespace gives to nobody.
    """
    access: Access = getattr(namespace, _FIELD[action])
    if access is Access.NOBODY:
        raise OpenlineError(
            Code.FORBIDDEN,
            f"namespace {namespace.name!r} does not allow {_doing(action)} over WebSocket or SSE",
        )
    if claims is not None and action in OWN and owns(claims, channel):
        return
    if claims is not None and claims.channels is not None:
        if claims.channels.allows(channel, action):
            return
        raise OpenlineError(
            Code.FORBIDDEN, f"the token's claim channels does not allow {action} on {channel}"
        )
    if access is Access.ANYONE or (access is Access.AUTHENTICATED and claims is not None):
        return
    if access is Access.MEMBERS and (subscribed or claims is not None):
        if subscribed:
            return
        raise OpenlineError(Code.NOT_SUBSCRIBED, f"subscribe to {channel} first")
    need = "a token" if claims is None else f"a token whose claim channels allows {action}"
    raise OpenlineError(Code.FORBIDDEN, f"{_verb(action)} {channel} needs {need}")


def check_http(claims: Claims, channel: str, action: Action, *, scope: str) -> None:
    """Raises `forbidden` unless an HTTP caller may do this: the scope suffices, but a `channels` claim limits it.

    As over sockets, the claim is the whole list of its holder, plus `user:<sub>` where that is the holder's own.
    """
    check_scope(claims, scope)
    if action in OWN and owns(claims, channel):
        return
    if claims.channels is not None and not claims.channels.allows(channel, action):
        raise OpenlineError(
            Code.FORBIDDEN, f"the token's claim channels does not allow {action} on {channel}"
        )


def owns(claims: Claims, channel: str) -> bool:
    """Whether this is the holder's personal channel, and the client that minted the token may read it."""
    return claims.personal and channel == channels.personal(claims.sub)


def check_unlimited(claims: Claims, doing: str) -> None:
    """Raises `forbidden` for a holder limited to channels: `doing` concerns what is in none of them."""
    if claims.channels is not None:
        raise OpenlineError(
            Code.FORBIDDEN,
            f"the token is limited to channels (claim channels), and {doing} goes beyond channels; "
            "use a client without --channels",
        )


def check_scope(claims: Claims, scope: str) -> None:
    """Raises `forbidden` naming the scope that the token lacks."""
    if scope not in claims.scope:
        raise OpenlineError(Code.FORBIDDEN, f"this call needs a token with scope {scope}")


def _doing(action: Action) -> str:
    return {Action.SUBSCRIBE: "subscribing", Action.PUBLISH: "publishing"}.get(
        action, f"reading {action}"
    )


def _verb(action: Action) -> str:
    return {Action.SUBSCRIBE: "subscribe to", Action.PUBLISH: "publish in"}.get(
        action, f"read {action} of"
    )
