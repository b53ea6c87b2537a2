"""How often a connection may speak: its commands, its refused ones, and its messages in each namespace."""

from __future__ import annotations

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Bucket, Limits
from services.kernel.domain.namespaces import Namespace


def too_fast(what: str, rate: float, *, wait: float) -> OpenlineError:
    """The refusal of more commands or bytes than a second has."""
    return OpenlineError(
        Code.RATE_LIMITED,
        f"too many {what}; wait {wait:.2f} s and send at most {rate:g} a second",
        retry_after=wait,
    )


class Rates:
    """Buckets that are made when they are first taken from. Pure: `now` is seconds of a monotonic clock."""

    __slots__ = ("_commands", "_limits", "_namespaces", "_refusals")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._commands: Bucket | None = None
        self._refusals: Bucket | None = None
        self._namespaces: dict[str, Bucket] = {}

    def command(self, now: float) -> float:
        """Count a command; 0, or the seconds to wait."""
        if self._commands is None:
            limits = self._limits
            self._commands = Bucket(limits.command_rate, limits.command_burst, now)
        return self._commands.spend(now)

    def refusal(self, now: float) -> float:
        """Count a refused command; 0, or the seconds after which another one could have been borne."""
        if self._refusals is None:
            limits = self._limits
            self._refusals = Bucket(limits.refusal_rate, limits.refusal_burst, now)
        return self._refusals.spend(now)

    def message(self, namespace: Namespace, now: float) -> None:
        """Count a message. Raises `rate_limited` when there are more than the namespace allows a connection."""
        bucket = self._namespaces.get(namespace.name)
        if bucket is None:
            burst = max(1, namespace.publish_burst or namespace.publish_rate)
            bucket = self._namespaces[namespace.name] = Bucket(namespace.publish_rate, burst, now)
        if wait := bucket.spend(now):
            raise OpenlineError(
                Code.RATE_LIMITED,
                f"at most {namespace.publish_rate:g} messages a second in {namespace.name}:",
                retry_after=wait,
            )
