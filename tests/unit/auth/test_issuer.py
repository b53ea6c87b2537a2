"""Tokens as they are made."""

from __future__ import annotations

import pytest

from services.auth.issuer import Issuer
from services.auth.keyring import FileKeyring
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.verifier import TrustedIssuer, Verifier

NOW = 1_800_000_000.0


@pytest.fixture
def ring(tmp_path):
    return FileKeyring(tmp_path)


@pytest.fixture
def issuer(ring):
    return Issuer(ring, issuer="https://i.example", audience="openline")


async def test_what_is_issued_verifies_with_all_its_claims(ring, issuer):
    issued = issuer.issue(
        "bob",
        ttl=60,
        now=NOW,
        client="app",
        scope=["read", "publish"],
        channels={"room:*": ["subscribe"]},
        info={"name": "Bob"},
        rate=5,
    )
    one = Verifier([TrustedIssuer("https://i.example", ring)], audience="openline")
    claims = await one.verify(issued.token, NOW)
    assert (claims.sub, claims.client, claims.info) == ("bob", "app", {"name": "Bob"})
    assert claims.scope == {"read", "publish"}
    assert claims.rate == 5
    assert (claims.jti, claims.exp, claims.iat) == (issued.jti, NOW + 60, NOW)
    assert claims.channels is not None
    assert issued.scope == "publish read"


def test_each_token_has_an_id_of_its_own(issuer):
    assert len({issuer.issue("bob", ttl=60, now=NOW).jti for _ in range(50)}) == 50


def test_a_token_that_no_verifier_would_accept_is_not_made(issuer):
    with pytest.raises(OpenlineError) as caught:
        issuer.issue("bob", ttl=60, now=NOW, info="x" * 20_000)
    assert caught.value.code is Code.LIMIT_EXCEEDED
