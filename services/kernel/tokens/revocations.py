"""What was revoked before its time: a token, a user or a client, each until its tokens have expired anyway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, Self

from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError

LONGEST_TOKEN = 2_678_400.0
"""Seconds, 31 days: how long a token may live, and how long a revocation of all tokens of a user is kept."""


class Kind(StrEnum):
    """What a revocation names."""

    TOKEN = "jti"  # noqa: S105 - the claim that names a token
    SUBJECT = "sub"
    CLIENT = "client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One token by `jti`, or all tokens of a user (`sub`) or client that were issued up to `cutoff`.

    `exp` (seconds since 1970) is when the last token it can concern has expired, and with it the revocation.
    """

    kind: Kind
    value: str
    exp: float
    cutoff: float = 0.0

    @property
    def member(self) -> str:
        """How the store spells it: `jti:<jti>`, `sub:<sub>:<cutoff>` or `client:<id>:<cutoff>`."""
        if self.kind is Kind.TOKEN:
            return f"{self.kind}:{self.value}"
        return f"{self.kind}:{self.value}:{self.cutoff:.3f}"

    @classmethod
    def parse(cls, member: str, exp: float) -> Self:
        """From its spelling. Raises ValueError."""
        kind, _, value = member.partition(":")
        if kind == Kind.TOKEN:
            return cls(kind=Kind.TOKEN, value=value, exp=exp)
        # A subject may hold colons itself.
        value, _, cutoff = value.rpartition(":")
        return cls(kind=Kind(kind), value=value, exp=exp, cutoff=float(cutoff))

    def as_dict(self) -> dict[str, Any]:
        """As an announcement carries it."""
        return {
            "kind": self.kind.value,
            "value": self.value,
            "exp": self.exp,
            "cutoff": self.cutoff,
        }

    @classmethod
    def from_dict(cls, message: Mapping[str, Any]) -> Self:
        """From an announcement. Raises ValueError, KeyError or TypeError."""
        return cls(
            kind=Kind(message["kind"]),
            value=str(message["value"]),
            exp=float(message["exp"]),
            cutoff=float(message["cutoff"]),
        )


class Revoked:
    """All revocations in force, asked at each handshake and each refresh. Costs three dictionary look-ups."""

    __slots__ = ("_by_member", "_clients", "_subjects", "_tokens")

    def __init__(self, revocations: Iterable[Revocation] = ()) -> None:
        self._tokens: set[str] = set()
        self._subjects: dict[str, float] = {}
        self._clients: dict[str, float] = {}
        self._by_member: dict[str, Revocation] = {}
        for revocation in revocations:
            self.add(revocation)

    def add(self, revocation: Revocation) -> None:
        """Count one more; the latest cutoff of a user or client holds, and of one revoked twice the later end."""
        member = revocation.member
        kept = self._by_member.get(member)
        if kept is None or kept.exp < revocation.exp:
            self._by_member[member] = revocation
        if revocation.kind is Kind.TOKEN:
            self._tokens.add(revocation.value)
            return
        cutoffs = self._subjects if revocation.kind is Kind.SUBJECT else self._clients
        cutoffs[revocation.value] = max(revocation.cutoff, cutoffs.get(revocation.value, 0.0))

    def absorb(self, read: Revoked, now: float) -> list[Revocation]:
        """Add what the record holds; nothing known is dropped. The answer is what the record lacks at `now`.

        A record may have lost what is known here: a failover to a replica that lagged, a flush, an older backup.
        Whoever absorbed it writes the answer back, or the next service to start would accept revoked tokens.
        """
        # By member: the record rounds a cutoff, so what was announced and what is read differ as values.
        mine, theirs = self._by_member, read._by_member
        lacking = [
            one
            for member, one in mine.items()
            if one.exp > now and (member not in theirs or theirs[member].exp < one.exp)
        ]
        for member, one in theirs.items():
            if member not in mine or mine[member].exp < one.exp:
                self.add(one)
        return lacking

    def without(self, now: float) -> Revoked:
        """Those that still matter at `now`; itself while none has ended."""
        if all(one.exp > now for one in self):
            return self
        return Revoked(one for one in self if one.exp > now)

    def covers(self, claims: Claims) -> bool:
        """Whether the token that carried these claims was revoked. One without `iat` counts as old."""
        if claims.jti is not None and claims.jti in self._tokens:
            return True
        issued = claims.iat or 0.0
        return issued <= self._subjects.get(claims.sub, -1.0) or (
            claims.client is not None and issued <= self._clients.get(claims.client, -1.0)
        )

    def __iter__(self) -> Iterator[Revocation]:
        return iter(self._by_member.values())

    def __len__(self) -> int:
        return len(self._by_member)


def refusal() -> OpenlineError:
    """What whoever brings a revoked token is told: `unauthorized`."""
    return OpenlineError(Code.UNAUTHORIZED, "the token has been revoked")


class Revocations(Protocol):
    """The fleet's record of revocations: a service that missed an announcement reads it here."""

    async def add(self, *revocations: Revocation) -> None:
        """Record each until its `exp`. Raises `unavailable`."""

    async def load(self, now: float) -> Revoked:
        """All in force at `now`, in seconds since 1970. Raises `unavailable`."""
