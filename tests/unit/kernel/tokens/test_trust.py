"""What the settings trust."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from services.kernel.tokens import trust
from services.kernel.tokens.keys import StaticKeys, UntrustedKeyError, from_jwk
from tests.unit.kernel.tokens import signing
from tests.unit.kernel.tokens.signing import AUDIENCE, ISSUER, NOW, SECRET


async def test_a_secret_and_own_keys_are_trusted_beside_the_urls():
    own = StaticKeys([from_jwk(signing.jwk(signing.ED))])
    built = trust.build([], [ISSUER], audience=AUDIENCE, secret=SECRET, own=own)
    async with built.remote:
        for token in (signing.token(), signing.token(SECRET, alg="HS256", kid=None)):
            assert (await built.verifier.verify(token, NOW)).sub == "bob"


def test_a_short_secret_is_refused():
    with pytest.raises(UntrustedKeyError):
        trust.build([], [ISSUER], audience=AUDIENCE, secret="short")


async def test_it_is_put_together_from_settings_without_fetching_own_keys():
    settings = SimpleNamespace(
        jwks_urls=["http://127.0.0.1:9/own.json"],
        issuers=[ISSUER],
        audience=AUDIENCE,
        subject_claim="sub",
        hs256_secret=SecretStr(SECRET),
    )
    own = StaticKeys([from_jwk(signing.jwk(signing.ED))])
    for without, urls in (((), 1), ({"http://127.0.0.1:9/own.json"}, 0)):
        built = trust.of(settings, without=without, own=own)
        assert len(built.remote._urls) == urls
        async with built.remote:
            for token in (signing.token(), signing.token(SECRET, alg="HS256", kid=None)):
                assert (await built.verifier.verify(token, NOW)).sub == "bob"
    settings.hs256_secret = None
    assert isinstance(trust.of(settings), trust.Trust)
