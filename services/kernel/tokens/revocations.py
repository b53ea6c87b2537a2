"""What was revoked before its time: a token, a user or a client, each until its tokens have expired anyway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, Self

from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError

LONGEST_TOKEN = 2_678_400.0
"""Seconds, 31 days: how long a token may live, and how long a revocation of all tokens of a user is kept."""


class Kind(StrEnum):
    """What a revocation names."""

    TOKEN = "jti"  # noqa: S105 - the claim that names a token
    FAMILY = "family"
    SUBJECT = "sub"
    CLIENT = "client"


_NAMED = frozenset({Kind.TOKEN, Kind.FAMILY})
"""What is ended by its own name, without a cutoff."""

FAMILY_END = "."
"""Where in a `jti` of our own auth the family ends: the login that the token came of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One token by `jti`, those of one login by what their `jti` begins with, or all tokens of a user (`sub`) or client
    that were issued up to `cutoff`.

    `exp` (seconds since 1970) is when the last token it can concern has expired, and with it the revocation.
    """

    kind: Kind
    value: str
    exp: float
    cutoff: float = 0.0

    @property
    def member(self) -> str:
        """How the store spells it: `jti:<jti>`, `family:<start>`, `sub:<sub>:<cutoff>` or `client:<id>:<cutoff>`."""
        if self.kind in _NAMED:
            return f"{self.kind}:{self.value}"
        return f"{self.kind}:{self.value}:{self.cutoff:.3f}"

    @classmethod
    def parse(cls, member: str, exp: float) -> Self:
        """From its spelling. Raises ValueError."""
        kind, _, value = member.partition(":")
        if kind in _NAMED:
            return cls(kind=Kind(kind), value=value, exp=exp)
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
    """All revocations in force, asked at each handshake and each refresh. Costs a few dictionary look-ups."""

    __slots__ = ("_by_member", "_clients", "_families", "_subjects", "_tokens")

    def __init__(self, revocations: Iterable[Revocation] = ()) -> None:
        self._tokens: set[str] = set()
        self._families: set[str] = set()
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
        if revocation.kind in _NAMED:
            self._names(revocation.kind).add(revocation.value)
            return
        cutoffs = self._cutoffs(revocation.kind)
        cutoffs[revocation.value] = max(revocation.cutoff, cutoffs.get(revocation.value, 0.0))

    def learn(self, member: str, exp: float) -> Revocation | None:
        """Count what the record holds under this spelling; the revocation if it was not known, or not for so long.

        An unknown spelling, of a newer version, is ignored.
        """
        kept = self._by_member.get(member)
        if kept is not None and kept.exp >= exp:
            return None
        try:
            revocation = Revocation.parse(member, exp)
        except ValueError:
            return None
        self.add(revocation)
        return revocation

    def drop_ended(self, now: float) -> None:
        """Forget what no longer matters at `now`."""
        ended = [one for one in self if one.exp <= now]
        if not ended:
            return
        for one in ended:
            del self._by_member[one.member]
            self._forget(one)
        # Of one that was revoked twice the other revocation may still be in force.
        others = {(one.kind, one.value) for one in ended}
        for one in self:
            if (one.kind, one.value) in others:
                self.add(one)

    def _forget(self, one: Revocation) -> None:
        if one.kind in _NAMED:
            self._names(one.kind).discard(one.value)
        else:
            self._cutoffs(one.kind).pop(one.value, None)

    def _names(self, kind: Kind) -> set[str]:
        return self._tokens if kind is Kind.TOKEN else self._families

    def _cutoffs(self, kind: Kind) -> dict[str, float]:
        return self._subjects if kind is Kind.SUBJECT else self._clients

    def covers(self, claims: Claims) -> bool:
        """Whether the token that carried these claims was revoked. One without `iat` counts as old."""
        jti = claims.jti
        if jti is not None and (
            jti in self._tokens
            or (self._families and jti.partition(FAMILY_END)[0] in self._families)
        ):
            return True
        issued = claims.iat or 0.0
        return issued <= self._subjects.get(claims.sub, -1.0) or (
            claims.client is not None and issued <= self._clients.get(claims.client, -1.0)
        )

    def __iter__(self) -> Iterator[Revocation]:
        return iter(self._by_member.values())

    def __len__(self) -> int:
        return len(self._by_member)

    def items(self) -> list[tuple[str, Revocation]]:
        """All with their spellings, as of now."""
        return list(self._by_member.items())


def refusal() -> OpenlineError:
    """What whoever brings a revoked token is told: `unauthorized`."""
    return OpenlineError(Code.UNAUTHORIZED, "the token has been revoked")


class Mark(NamedTuple):
    """How far a reader has followed the record: the last announcement it has seen, and how many revocations there were."""

    announced: str
    size: int


class Changes(NamedTuple):
    """What was announced since a mark, as (member, exp), and the mark behind it."""

    mark: Mark
    added: Sequence[tuple[str, float]]


class Revocations(Protocol):
    """The fleet's record of revocations, and the announcements of the newest of them. Each call raises `unavailable`."""

    async def add(self, *revocations: Revocation) -> None:
        """Record each until its `exp`, and announce it to the services that follow the record."""

    async def mark(self) -> Mark:
        """Where the record is now."""

    async def since(self, mark: Mark) -> Changes | None:
        """What was announced since; None when that does not tell all, and the record must be read whole."""

    def pages(self, now: float) -> AsyncIterator[Sequence[tuple[str, float]]]:
        """All in force at `now`, in seconds since 1970, as (member, exp), some at a time."""
