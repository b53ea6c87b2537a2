"""What the settings trust: which keys are whose, and whose scope counts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.tokens import trust
from services.kernel.tokens.keys import StaticKeys, UntrustedKeyError, from_jwk
from tests.unit.kernel.tokens import signing
from tests.unit.kernel.tokens.signing import AUDIENCE, ISSUER, NOW, SECRET

OWN_URL, OTHER_URL, THIRD_URL = (f"http://127.0.0.1:9/{name}.json" for name in "abc")
OTHER = "https://other.example"


def settings(**changed):
    fields = {
        "public_url": ISSUER,
        "jwks_urls": [OWN_URL],
        "issuers": [ISSUER],
        "scope_issuers": (),
        "audience": AUDIENCE,
        "subject_claim": "sub",
        "hs256_secret": None,
        "max_token_ttl": 3600,
    }
    return SimpleNamespace(**{**fields, **changed})


def own():
    return StaticKeys([from_jwk(signing.jwk(signing.ED))])


def fill(built, url, *keys):
    """As if this had been fetched from there."""
    built.remote._sets[url] = (b"", tuple(from_jwk(signing.jwk(key)) for key in keys))
    built.remote._fetched = float("inf")  # no other fetch
    built.remote._failing = set()


async def test_a_secret_and_own_keys_are_the_first_issuers():
    for without, urls in (((), 1), ({OWN_URL}, 0)):
        built = trust.of(settings(hs256_secret=SecretStr(SECRET)), without=without, own=own())
        assert len(built.remote._urls) == urls
        async with built.remote:
            for token in (signing.token(), signing.token(SECRET, alg="HS256", kid=None)):
                assert (await built.verifier.verify(token, NOW)).sub == "bob"


def test_a_short_secret_is_refused():
    for call in (trust.of, trust.check):
        with pytest.raises(UntrustedKeyError):
            call(settings(hs256_secret=SecretStr("short")))


async def test_key_sets_and_issuers_go_together_in_their_order():
    built = trust.of(settings(issuers=[ISSUER, OTHER], jwks_urls=[OWN_URL, OTHER_URL]))
    fill(built, OWN_URL, signing.ED)
    fill(built, OTHER_URL, signing.EC)
    async with built.remote:
        assert await built.verifier.verify(signing.token(), NOW)
        theirs = {"alg": "ES256", "kid": "ed"}
        assert await built.verifier.verify(signing.token(signing.EC, iss=OTHER, **theirs), NOW)
        for token in (signing.token(iss=OTHER), signing.token(signing.EC, **theirs)):
            with pytest.raises(OpenlineError, match="its issuer"):
                await built.verifier.verify(token, NOW)


async def test_beside_a_secret_the_only_key_set_is_the_others():
    built = trust.of(
        settings(issuers=[ISSUER, OTHER], jwks_urls=[OTHER_URL], hs256_secret=SecretStr(SECRET))
    )
    fill(built, OTHER_URL, signing.ED)
    async with built.remote:
        assert await built.verifier.verify(signing.token(iss=OTHER), NOW)
        assert await built.verifier.verify(signing.token(SECRET, alg="HS256", kid=None), NOW)
        for token in (
            signing.token(),
            signing.token(SECRET, alg="HS256", kid=None, iss=OTHER),
        ):
            with pytest.raises(OpenlineError, match="its issuer"):
                await built.verifier.verify(token, NOW)


async def test_one_issuer_has_all_key_sets_and_one_key_set_may_have_several_issuers():
    built = trust.of(settings(jwks_urls=[OWN_URL, OTHER_URL]))
    fill(built, OTHER_URL, signing.ED)
    async with built.remote:
        assert await built.verifier.verify(signing.token(), NOW)
    built = trust.of(settings(issuers=[ISSUER, OTHER]))
    fill(built, OWN_URL, signing.ED)
    async with built.remote:
        for issuer in (ISSUER, OTHER):
            assert await built.verifier.verify(signing.token(iss=issuer), NOW)


def test_where_it_is_not_plain_whose_a_key_set_is_nothing_starts():
    unclear = settings(issuers=[ISSUER, OTHER], jwks_urls=[OWN_URL, OTHER_URL, THIRD_URL])
    for call in (trust.of, trust.check):
        with pytest.raises(ConfigurationError, match="one key set for each issuer"):
            call(unclear)


@pytest.mark.parametrize(
    ("changed", "scopes"),
    [
        ({}, [True, False]),
        ({"scope_issuers": (OTHER,)}, [False, True]),
        ({"scope_issuers": (ISSUER, OTHER)}, [True, True]),
        ({"public_url": "https://elsewhere.example"}, [True, False]),
    ],
)
async def test_the_scope_of_our_own_auth_counts_and_of_others_if_it_is_said(changed, scopes):
    built = trust.of(settings(issuers=[ISSUER, OTHER], **changed))
    fill(built, OWN_URL, signing.ED)
    async with built.remote:
        counted = [
            await built.verifier.verify(signing.token(iss=issuer, scope="manage"), NOW)
            for issuer in (ISSUER, OTHER)
        ]
    assert [bool(claims.scope) for claims in counted] == scopes


async def test_the_claim_of_the_user_is_the_other_issuers():
    built = trust.of(settings(issuers=[ISSUER, OTHER], subject_claim="email"))
    fill(built, OWN_URL, signing.ED)
    async with built.remote:
        ours = await built.verifier.verify(signing.token(), NOW)
        theirs = await built.verifier.verify(signing.token(iss=OTHER, email="bob@example.org"), NOW)
    assert (ours.sub, theirs.sub) == ("bob", "bob@example.org")
