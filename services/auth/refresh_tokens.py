"""Refresh tokens as text: the name of a login, which all of its tokens share, and a secret of their own."""

from __future__ import annotations

import secrets
from typing import NamedTuple, Self

from services.auth.credentials import digest, new_secret

_END = "."
_TAG = 22


class RefreshToken(NamedTuple):
    """`family` is empty in a token of a version that kept each by itself.

    A caller that knows the family but not the newest secret had an older token, so its use is a reuse. What is kept of
    both is a digest: a reader of the database can neither use a login nor end it.
    """

    text: str
    family: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From its text, whatever that is."""
        family, end, _ = text.partition(_END)
        return cls(text, digest(family) if end else "", digest(text))

    @classmethod
    def first(cls) -> Self:
        """The first of a new login."""
        return cls.parse(f"{secrets.token_urlsafe(16)}{_END}{new_secret()}")

    @property
    def login(self) -> str:
        """What refreshes are counted by: the login or, in a token of an older version, the token."""
        return self.family or self.digest

    def next(self) -> Self:
        """Another of the same login."""
        family, _, _ = self.text.partition(_END)
        return self.parse(f"{family}{_END}{new_secret()}")


def tag(family: str) -> str:
    """What the `jti` of a login's access tokens begins with: it names the login, and says nothing of its tokens."""
    return family[:_TAG]
