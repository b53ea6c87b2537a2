"""Claims: what is read from a verified token, and how a wrong claim is named."""

from __future__ import annotations

import pytest

from services.kernel.domain import claims
from services.kernel.domain.capabilities import Action
from services.kernel.domain.codes import Code
from tests.support.refusals import refused


def test_a_bare_token_speaks_for_its_sub_without_end():
    parsed = claims.parse({"sub": "bob"})
    assert parsed == claims.Claims(sub="bob")
    assert parsed.exp is None
    assert parsed.channels is None


def test_every_claim_is_taken_over():
    parsed = claims.parse(
        {
            "sub": "bob",
            "exp": 20,
            "iat": 10.5,
            "jti": "j",
            "scope": "publish read",
            "channels": {"room:*": ["subscribe"]},
            "info": {"name": "Bob"},
            "client_id": "shop",
            "openline_rate": 2.5,
        },
    )
    assert parsed.rate == 2.5
    assert (parsed.exp, parsed.iat, parsed.jti) == (20.0, 10.5, "j")
    assert parsed.scope == {"publish", "read"}
    assert (parsed.info, parsed.client) == ({"name": "Bob"}, "shop")
    assert parsed.channels is not None
    assert parsed.channels.allows("room:x", Action.SUBSCRIBE)


def test_another_claim_may_name_the_user():
    assert claims.parse({"sub": "x y", "email": "a@b.c"}, subject="email").sub == "a@b.c"


def test_channels_null_is_a_wrong_claim_and_not_an_absent_one():
    """A back end that fills the claim with null by mistake must not thereby grant everything."""
    with refused(Code.UNAUTHORIZED, "claim channels"):
        claims.parse({"sub": "bob", "channels": None})


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({}, "claim sub must be"),
        ({"sub": 42}, "claim sub must be"),
        ({"sub": "a b"}, "claim sub must be"),
        ({"sub": "bob", "channels": {"room:*x": []}}, "last character"),
        ({"sub": "bob", "exp": "soon"}, "claim exp must be a number"),
        ({"sub": "bob", "exp": True}, "claim exp must be a number"),
        ({"sub": "bob", "exp": 10**400}, "claim exp must be a number"),
        ({"sub": "bob", "iat": float("nan")}, "claim iat must be a number"),
        ({"sub": "bob", "openline_rate": "fast"}, "claim openline_rate must be a number"),
        ({"sub": "bob", "openline_rate": 0}, "claim openline_rate must be more than 0"),
        ({"sub": "bob", "openline_personal": 1}, "claim openline_personal must be true or false"),
        ({"sub": "bob", "jti": 5}, "claim jti must be a string"),
        ({"sub": "bob", "scope": ["publish"]}, "claim scope must be a string"),
        ({"sub": "bob", "client_id": 1}, "claim client_id must be a string"),
    ],
)
def test_a_wrong_claim_is_unauthorized_and_named(payload, reason):
    with refused(Code.UNAUTHORIZED, reason):
        claims.parse(payload)
