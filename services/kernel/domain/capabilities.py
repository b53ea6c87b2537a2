"""What a token's `channels` claim grants: patterns matched by prefix, never by regular expression."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from services.kernel.domain import channels
from services.kernel.domain.codes import Code, OpenlineError

MAX_PATTERNS = 100


class Action(StrEnum):
    """What can be done with a channel."""

    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    PRESENCE = "presence"
    HISTORY = "history"


class Capabilities:
    """The whole list of what its holder may do: an exact channel or a prefix before a final `*`, and actions for it.

    Matching costs one dictionary look-up and one `startswith` a prefix, so a hostile pattern or name costs no more
    than an honest one.
    """

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, grants: Mapping[str, frozenset[Action]]) -> None:
        self._exact = {p: a for p, a in grants.items() if not p.endswith("*")}
        self._prefixes = tuple((p[:-1], a) for p, a in grants.items() if p.endswith("*"))

    def allows(self, channel: str, action: Action) -> bool:
        """Whether any pattern that covers the channel lists the action."""
        if action in self._exact.get(channel, frozenset()):
            return True
        return any(action in a and channel.startswith(p) for p, a in self._prefixes)

    def covers(self, pattern: str, action: Action) -> bool:
        """Whether one of these patterns lists the action for every channel that another pattern covers."""
        if not pattern.endswith("*"):
            return self.allows(pattern, action)
        return any(action in a and pattern[:-1].startswith(p) for p, a in self._prefixes)


def parse(claim: object) -> Capabilities:
    """Capabilities from a token's claim. Raises `bad_request` naming the pattern that is wrong."""
    if not isinstance(claim, Mapping):
        raise OpenlineError(
            Code.BAD_REQUEST, 'claim channels must be an object such as {"room:*": ["subscribe"]}'
        )
    if len(claim) > MAX_PATTERNS:
        raise OpenlineError(
            Code.BAD_REQUEST, f"claim channels holds more than {MAX_PATTERNS} patterns"
        )
    return Capabilities({_pattern(p): _actions(p, actions) for p, actions in claim.items()})


def _pattern(pattern: object) -> str:
    if not isinstance(pattern, str) or not 1 <= len(pattern) <= channels.MAX_CHANNEL + 1:
        raise OpenlineError(
            Code.BAD_REQUEST, "a pattern in claim channels is a channel or a prefix ending in *"
        )
    if "*" in pattern[:-1]:
        raise OpenlineError(
            Code.BAD_REQUEST, f"pattern {pattern!r}: * may only be the last character"
        )
    return pattern


def _actions(pattern: str, actions: object) -> frozenset[Action]:
    known = ", ".join(Action)
    if not isinstance(actions, list):
        raise OpenlineError(Code.BAD_REQUEST, f"pattern {pattern!r}: list actions of {known}")
    try:
        return frozenset(Action(action) for action in actions)
    except ValueError:
        raise OpenlineError(
            Code.BAD_REQUEST, f"pattern {pattern!r}: unknown action; known: {known}"
        ) from None
