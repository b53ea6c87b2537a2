"""Verification: every way in which a token can be wrong is named, and a good one is remembered."""

from __future__ import annotations

import string

import pytest

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.keys import Key, StaticKeys, from_jwk, secret
from services.kernel.tokens.verifier import MAX_TOKEN, TrustedIssuer, Verifier
from tests.unit.kernel.tokens import signing
from tests.unit.kernel.tokens.signing import AUDIENCE, ISSUER, NOW, SECRET


class Ring(StaticKeys):
    """Keys that can be changed, and that may know more after a refresh or fail to say."""

    def __init__(self, *keys: Key) -> None:
        super().__init__(keys)
        self.generation = 0
        self.later: tuple[Key, ...] = ()
        self.answers = True
        self.asked = 0

    async def refresh(self) -> bool:
        self.asked += 1
        if self.later:
            self._keys, self.later = self.later, ()
            self.generation += 1
        return self.answers


def ring() -> Ring:
    return Ring(
        from_jwk(signing.jwk(signing.ED)),
        from_jwk(signing.jwk(signing.EC, kid="ec")),
        from_jwk(signing.jwk(signing.RSA, kid="rsa")),
        secret(SECRET),
    )


def verifier(keys: Ring | None = None, *, cache: int = 100, **options) -> Verifier:
    return Verifier(
        [TrustedIssuer(ISSUER, keys or ring(), **options)], audience=AUDIENCE, cache=cache
    )


async def refusal(token: str, now: float = NOW) -> OpenlineError:
    with pytest.raises(OpenlineError) as caught:
        await verifier().verify(token, now)
    assert caught.value.code is Code.UNAUTHORIZED
    return caught.value


@pytest.mark.parametrize(
    ("key", "alg", "kid"),
    [
        (signing.ED, "EdDSA", "ed"),
        (signing.ED, "EdDSA", None),
        (signing.EC, "ES256", "ec"),
        (signing.RSA, "RS256", "rsa"),
        (SECRET, "HS256", None),
    ],
)
async def test_a_good_token_of_each_algorithm_gives_its_claims(key, alg, kid):
    token = signing.token(key, alg=alg, kid=kid, scope="read publish", jti="j", client_id="c")
    claims = await verifier().verify(token, NOW)
    assert claims.sub == "bob"
    assert claims.scope == {"read", "publish"}
    assert (claims.jti, claims.client, claims.exp) == ("j", "c", NOW + 60)


async def test_another_claim_can_hold_the_user():
    claims = await verifier(subject="email").verify(signing.token(email="bob@example.org"), NOW)
    assert claims.sub == "bob@example.org"


async def test_a_key_verifies_for_its_own_issuer_only():
    other = "https://other.example"
    theirs = StaticKeys([from_jwk(signing.jwk(signing.EC, kid="ed"))])
    ours = StaticKeys([from_jwk(signing.jwk(signing.ED))])
    both = Verifier([TrustedIssuer(ISSUER, ours), TrustedIssuer(other, theirs)], audience=AUDIENCE)
    assert await both.verify(signing.token(), NOW)
    assert await both.verify(signing.token(signing.EC, alg="ES256", kid="ed", iss=other), NOW)
    for token in (
        signing.token(signing.EC, alg="ES256", kid="ed"),
        signing.token(signing.EC, alg="ES256", kid=None),
        signing.token(iss=other),
    ):
        with pytest.raises(OpenlineError, match="not known here as one of its issuer's"):
            await both.verify(token, NOW)


async def test_scope_and_client_subjects_count_of_privileged_issuers_only():
    one = verifier(privileged=False)
    claims = await one.verify(signing.token(scope="manage", channels={}), NOW)
    assert (claims.sub, claims.scope) == ("bob", frozenset())
    with pytest.raises(OpenlineError, match="OPENLINE_SCOPE_ISSUERS"):
        await one.verify(signing.token(sub="client:shop"), NOW)


async def test_an_audience_may_be_a_list():
    assert await verifier().verify(signing.token(aud=["other", AUDIENCE]), NOW)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": "https://other.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"iss": ["x"]}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": [["openline"]]}, "aud"),
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": 7_258_118_400}, "OPENLINE_MAX_TOKEN_TTL"),
        ({"exp": NOW + 2_678_401}, "2678400 s"),
        ({"nbf": "x"}, "nbf"),
        ({"sub": None}, "sub"),
        ({"sub": "a/b"}, "sub"),
        ({"channels": []}, "channels"),
        ({"channels": {"a*b": []}}, "*"),
        ({"scope": 5}, "scope"),
    ],
)
async def test_a_wrong_claim_is_named(claims, said):
    # PyJWT would refuse to make some of these.
    token = signing.signed({"alg": "EdDSA", "kid": "ed"}, signing.payload(**claims))
    error = await refusal(token)
    assert not error.expired
    assert said in error.message


async def test_expired_is_said_only_when_nothing_else_is_wrong():
    assert (await refusal(signing.token(exp=NOW))).expired
    assert not (await refusal(signing.token(exp=NOW, aud="other"))).expired
    assert not (await refusal(signing.token(exp=NOW, sub="a/b"))).expired


async def test_clocks_may_differ_a_little_but_exp_is_strict():
    assert await verifier().verify(signing.token(iat=NOW + 59, nbf=NOW + 59), NOW)
    assert (await refusal(signing.token(exp=NOW - 0.001))).expired


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_what_is_not_valid_yet_asks_for_a_new_token_as_after_its_end(claim):
    error = await refusal(signing.token(**{claim: NOW + 61}))
    assert error.expired
    assert f"claim {claim}" in error.message
    assert len(error.message.encode()) <= 123


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b",
        "a.b.c.d",
        "a.b.c",
        "é.b.c",
        "\ud800.b.c",
        f"{signing.part([])}.e30.AA",
        f"{signing.part(b'[' * 9000)}.e30.AA",
        f"{signing.part(bytes(range(200, 250)))}.e30.AA",
        signing.token() + "=",
        signing.token() + "\n",
        "a" * MAX_TOKEN + ".b.c",
    ],
)
async def test_what_is_no_jwt_is_refused(token):
    await refusal(token)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"alg": "none"}, "alg"),
        ({"alg": "None"}, "alg"),
        ({"alg": "HS512"}, "alg"),
        ({"alg": ["EdDSA"]}, "alg"),
        ({}, "alg"),
        ({"alg": "EdDSA", "crit": ["exp"]}, "crit"),
        ({"alg": "EdDSA", "kid": 5}, "kid"),
        ({"alg": "EdDSA", "kid": "k" * 300}, "kid"),
        ({"alg": "EdDSA", "kid": "unknown"}, "not known"),
        ({"alg": "RS256", "kid": "ed"}, "not known"),
        ({"alg": "HS256", "kid": "ed"}, "not known"),
    ],
)
async def test_a_wrong_header_is_named(header, said):
    assert said in (await refusal(signing.signed(header, signing.payload()))).message


async def test_a_public_key_is_no_secret():
    """The classic confusion: HS256 over the text of a public key."""
    await refusal(signing.token("x" * 32, alg="HS256", kid="rsa"))
    await refusal(signing.token("x" * 32, alg="HS256", kid=None))


async def test_a_changed_payload_is_refused():
    header, _, signature = signing.token().split(".")
    assert (
        "signature"
        in (
            await refusal(f"{header}.{signing.part(signing.payload(sub='eve'))}.{signature}")
        ).message
    )


@pytest.mark.parametrize("body", [b"[]", b"x", b"\xff", b"[" * 5000])
async def test_a_signed_payload_that_is_no_object_is_refused(body):
    await refusal(signing.signed({"alg": "EdDSA", "kid": "ed"}, body))


async def test_a_token_has_one_spelling():
    """64 bytes end in a character of which four bits count: 16 spellings would decode to the same signature."""
    token = signing.token()
    for last in set(string.ascii_letters + string.digits + "-_") - {token[-1]}:
        await refusal(token[:-1] + last)
    assert await verifier().verify(token, NOW)


async def test_a_verified_token_is_remembered_until_it_expires():
    one = verifier()
    token = signing.token()
    assert one.cached(token, NOW) is None
    claims = await one.verify(token, NOW)
    assert one.cached(token, NOW + 59) is claims
    assert await one.verify(token, NOW + 59) is claims
    assert one.cached(token, NOW + 60) is None
    with pytest.raises(OpenlineError) as caught:
        await one.verify(token, NOW + 60)
    assert caught.value.expired


async def test_a_refused_token_is_not_remembered():
    one = verifier()
    with pytest.raises(OpenlineError):
        await one.verify(signing.token(aud="other"), NOW)
    assert one.cached(signing.token(aud="other"), NOW) is None
    assert one.cached("x" * (MAX_TOKEN + 1), NOW) is None


async def test_the_cache_forgets_what_was_used_longest_ago():
    one = verifier(cache=2)
    tokens = [signing.token(jti=str(n)) for n in range(3)]
    await one.verify(tokens[0], NOW)
    await one.verify(tokens[1], NOW)
    one.cached(tokens[0], NOW)
    await one.verify(tokens[2], NOW)
    assert [one.cached(token, NOW) is not None for token in tokens] == [True, False, True]


async def test_a_removed_key_stops_verifying_also_what_was_remembered():
    keys = ring()
    one = verifier(keys)
    token = signing.token()
    await one.verify(token, NOW)
    keys._keys = ()
    keys.generation += 1
    assert one.cached(token, NOW) is None
    with pytest.raises(OpenlineError, match="not known"):
        await one.verify(token, NOW)


async def test_an_unknown_kid_asks_for_new_keys_once():
    keys = Ring()
    keys.later = (from_jwk(signing.jwk(signing.ED)),)
    one = verifier(keys)
    assert (await one.verify(signing.token(), NOW)).sub == "bob"
    assert keys.asked == 1


async def test_a_bad_signature_of_a_known_kid_asks_for_nothing():
    keys = ring()
    with pytest.raises(OpenlineError):
        await verifier(keys).verify(signing.token()[:-8] + "AAAAAAAA", NOW)
    assert keys.asked == 0


async def test_while_keys_cannot_be_fetched_an_unknown_one_is_unavailable_not_wrong():
    keys = Ring()
    keys.answers = False
    with pytest.raises(OpenlineError) as caught:
        await verifier(keys).verify(signing.token(), NOW)
    assert caught.value.code is Code.UNAVAILABLE
