"""Whom tokens and tickets stand for."""

from __future__ import annotations

import pytest

from services.gateway.node.tokens import Tokens
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import OpenlineError


class Verifier:
    """A token is its user's name; `seen` was verified before."""

    def __init__(self):
        self.verified = []

    def cached(self, token, now):
        assert now == 7
        return Claims(sub=token) if token == "seen" else None

    async def verify(self, token, now):
        assert now == 7
        self.verified.append(token)
        return Claims(sub=token)


class Tickets:
    """One ticket that is good."""

    async def redeem(self, ticket):
        return "amy" if ticket == "good" else None


class Control:
    """Who was revoked."""

    def __init__(self):
        self.revoked = set()

    def covers(self, claims):
        return claims.sub in self.revoked


@pytest.fixture
def verifier():
    return Verifier()


@pytest.fixture
def control():
    return Control()


@pytest.fixture
def tokens(verifier, control):
    return Tokens(verifier, Tickets(), control, wall=lambda: 7)


async def test_a_token_is_verified_once_and_a_ticket_stands_for_one(tokens, verifier):
    assert tokens.seen("seen") == await tokens.verify("seen") == Claims(sub="seen")
    assert tokens.seen("amy") is None
    assert (await tokens.verify("amy")).sub == (await tokens.redeem("good")).sub == "amy"
    assert verifier.verified == ["amy", "amy"]
    with pytest.raises(OpenlineError, match="older than 30 s"):
        await tokens.redeem("used")


async def test_what_was_revoked_is_refused_although_it_was_verified(tokens, control):
    control.revoked = {"seen", "amy"}
    assert tokens.seen("seen") is None
    for asking in (tokens.verify("seen"), tokens.verify("amy"), tokens.redeem("good")):
        with pytest.raises(OpenlineError, match="revoked"):
            await asking
    with pytest.raises(OpenlineError, match="revoked"):
        tokens.check(Claims(sub="seen"))
    tokens.check(Claims(sub="bob"))
