"""Grants over a real store and keyring: scopes narrow, refresh tokens rotate, theft is noticed."""

from __future__ import annotations

import dataclasses

import jwt
import pytest

from services.auth import store as store_module
from services.auth.credentials import Passwords, digest
from services.auth.grants import Grants, metadata
from services.auth.issuer import Issuer
from services.auth.keyring import FileKeyring
from services.auth.oauth import OAuthError
from services.auth.refresh_tokens import RefreshToken
from services.auth.revoker import Revoker
from services.auth.store import Client, SingleToken, Store, User
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.revocations import Kind, Revocation, Revoked
from tests.support.revocation_record import Record
from tests.unit.auth.test_revoker import Clock

pytestmark = pytest.mark.usefixtures("cheap_passwords")

APP = Client(client_id="app", secret=digest("s" * 40), scope="read publish", created=1)


@pytest.fixture
def record():
    return Record()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module")
def passwords():
    """One for all tests: making it, and each hash, takes a tenth of a second."""
    passwords = Passwords(1)
    yield passwords
    passwords.close()


@pytest.fixture(scope="module")
def alice(passwords):
    return User(
        username="alice",
        password=passwords.hash_now("correct horse"),
        scope="read publish",
        created=1,
    )


@pytest.fixture
def grants(tmp_path, record, clock, passwords, alice):
    store = Store(f"sqlite:///{tmp_path}/auth.db")
    store.add_client(APP)
    store.add_user(alice)
    yield Grants(
        store=store,
        issuer=Issuer(FileKeyring(tmp_path), issuer="https://i.example", audience="openline"),
        passwords=passwords,
        revoker=Revoker(record, clock=clock),
        token_ttl=60,
        refresh_ttl=1000,
        clock=clock,
    )
    store.close()


async def refused(call) -> str:
    with pytest.raises(OAuthError) as caught:
        await call
    return caught.value.error


def login(grants, *, client=None, scope=None):
    return grants.password("alice", "correct horse", client=client, scope=scope)


async def test_unknown_wrong_and_disabled_clients_are_one(grants):
    assert (await grants.authenticate("app", "s" * 40)).client_id == "app"
    grants.store.disable_client("app", 1)
    for name, secret in (("app", "s" * 40), ("app", "x"), ("other", "s" * 40)):
        assert await refused(grants.authenticate(name, secret)) == "invalid_client"


@pytest.mark.parametrize(
    ("asked", "given"), [(None, "publish read"), ("read", "read"), ("read  read", "read")]
)
async def test_a_scope_is_what_was_asked_or_all(grants, asked, given):
    assert (await grants.client_credentials(APP, asked)).issued.scope == given


@pytest.mark.parametrize("change", ["disable", "replace"])
async def test_a_login_whose_user_changes_while_the_password_is_checked_gets_nothing(
    grants, change, monkeypatch
):
    alice = grants.store.user("alice")
    matches = grants.passwords.matches
    kept = []

    async def slow(stored, password):
        good = await matches(stored, password)
        if change == "disable":
            grants.store.disable_user("alice", 2)
        else:
            grants.store.replace_user(dataclasses.replace(alice, password="other"), 2)
        return good

    monkeypatch.setattr(grants.passwords, "matches", slow)
    keep = grants.store.keep_family
    monkeypatch.setattr(grants.store, "keep_family", lambda new: (kept.append(new), keep(new)))
    assert await refused(login(grants)) == "invalid_grant"
    assert grants.store.family(kept[0].family).revoked is not None


async def test_replacing_a_user_ends_its_refresh_tokens(grants):
    answer = await login(grants)
    alice = grants.store.user("alice")
    assert grants.store.replace_user(alice, 2)
    assert await refused(grants.refresh(answer.refresh, client=None, scope=None)) == "invalid_grant"


@pytest.mark.parametrize("asked", ["manage", "read manage", " ", "READ"])
async def test_a_scope_that_is_not_held_is_refused(grants, asked):
    assert await refused(grants.client_credentials(APP, asked)) == "invalid_scope"


async def test_a_refreshed_token_can_be_narrower_and_widen_again_but_not_beyond(grants):
    first = await login(grants, scope="read publish")
    narrow = await grants.refresh(first.refresh, client=None, scope="read")
    assert narrow.issued.scope == "read"
    wide = await grants.refresh(narrow.refresh, client=None, scope=None)
    assert wide.issued.scope == "publish read"
    only = await login(grants, scope="read")
    assert (
        await refused(grants.refresh(only.refresh, client=None, scope="publish")) == "invalid_scope"
    )
    assert await grants.refresh(only.refresh, client=None, scope=None), "a refusal spends nothing"


async def test_reuse_ends_the_family_and_its_access_tokens(grants, record):
    first = await login(grants)
    second = await grants.refresh(first.refresh, client=None, scope=None)
    assert await refused(grants.refresh(first.refresh, client=None, scope=None)) == "invalid_grant"
    assert await refused(grants.refresh(second.refresh, client=None, scope=None)) == "invalid_grant"
    (ended,) = record.known
    for answer in (first, second):
        assert Revoked([ended]).covers(Claims(sub="alice", jti=answer.issued.jti))
    assert not Revoked([ended]).covers(Claims(sub="alice", jti=(await login(grants)).issued.jti))
    assert ended.exp == second.issued.exp


async def test_a_token_with_the_name_of_a_login_and_another_secret_is_a_reuse(grants):
    """Only who had a token of the login knows its name."""
    first = await login(grants)
    name, _, _ = first.refresh.partition(".")
    for strange in ("x.y", "x", f"{name}"):
        assert await refused(grants.refresh(strange, client=None, scope=None)) == "invalid_grant"
    second = await grants.refresh(first.refresh, client=None, scope=None)
    assert await refused(grants.refresh(f"{name}.x", client=None, scope=None)) == "invalid_grant"
    assert await refused(grants.refresh(second.refresh, client=None, scope=None)) == "invalid_grant"


def older(grants, text, **fields):
    """A refresh token as a version before families kept it."""
    base = {"family": "old", "username": "alice", "client_id": None, "scope": "read"}
    times = {"expires": 2000, "jti": f"jti-{text}", "jti_exp": 1050}
    grants.store._insert(
        store_module._single, SingleToken(**base, **times, digest=digest(text), **fields)
    )


async def test_a_login_of_an_older_version_goes_on_and_its_reuse_is_noticed(grants, record):
    older(grants, "spent", used=900)
    older(grants, "living")
    second = await grants.refresh("living", client=None, scope=None)
    assert second.issued.scope == "read"
    third = await grants.refresh(second.refresh, client=None, scope=None)
    assert await refused(grants.refresh("spent", client=None, scope=None)) == "invalid_grant"
    assert await refused(grants.refresh(third.refresh, client=None, scope=None)) == "invalid_grant"
    revoked = Revoked(record.known)
    for jti in ("jti-spent", "jti-living", second.issued.jti, third.issued.jti):
        assert revoked.covers(Claims(sub="alice", jti=jti))


async def test_of_an_older_login_a_token_works_once(grants):
    older(grants, "living")
    second = await grants.refresh("living", client=None, scope=None)
    assert await refused(grants.refresh("living", client=None, scope=None)) == "invalid_grant"
    assert await refused(grants.refresh(second.refresh, client=None, scope=None)) == "invalid_grant"


async def test_reuse_ends_the_family_also_while_redis_is_away(grants, record):
    first = await login(grants)
    second = await grants.refresh(first.refresh, client=None, scope=None)
    record.down = True
    assert await refused(grants.refresh(first.refresh, client=None, scope=None)) == "invalid_grant"
    assert await refused(grants.refresh(second.refresh, client=None, scope=None)) == "invalid_grant"


async def test_a_foreign_client_neither_uses_nor_spends_a_refresh_token(grants):
    first = await login(grants, client=APP)
    assert await refused(grants.refresh(first.refresh, client=None, scope=None)) == "invalid_grant"
    answer = await grants.refresh(first.refresh, client=APP, scope=None)
    assert (
        jwt.decode(answer.issued.token, options={"verify_signature": False})["client_id"] == "app"
    )


async def test_a_refresh_token_ends_by_time_and_with_its_user(grants, clock):
    first = await login(grants)
    clock.now += 1000
    assert await refused(grants.refresh(first.refresh, client=None, scope=None)) == "invalid_grant"
    second = await login(grants)
    grants.store.disable_user("alice", clock.now)
    assert await refused(grants.refresh(second.refresh, client=None, scope=None)) == "invalid_grant"
    assert await refused(login(grants)) == "invalid_grant"


async def test_ending_a_family_without_redis_says_so(grants, record):
    first = await login(grants)
    record.down = True
    kept = await grants.find(RefreshToken.parse(first.refresh))
    with pytest.raises(OpenlineError) as caught:
        await grants.end_family(kept.family.family)
    assert caught.value.code is Code.UNAVAILABLE


def test_metadata_lists_only_grants_that_are_on():
    about = metadata("https://i.example", grants=("client_credentials",))
    assert about["grant_types_supported"] == ["client_credentials"]
    assert about["jwks_uri"] == "https://i.example/auth/jwks.json"


def revocation(cutoff: float, name: str = "alice") -> Revocation:
    return Revocation(kind=Kind.SUBJECT, value=name, exp=5000, cutoff=cutoff)


async def test_a_user_revoked_elsewhere_can_refresh_no_login_of_before(grants, record, clock):
    clock.now = 1000.4
    first = await login(grants)
    await record.add(revocation(1000.6, "bob"))
    second = await grants.refresh(first.refresh, client=None, scope=None)
    await record.add(revocation(1000.6))
    clock.now = 1002
    assert await refused(grants.refresh(second.refresh, client=None, scope=None)) == "invalid_grant"
    third = await login(grants)
    assert await grants.refresh(third.refresh, client=None, scope=None), "it began afterwards"


async def test_a_refresh_under_way_when_its_user_is_revoked_gives_nothing(
    grants, record, monkeypatch
):
    first = await login(grants)
    rotate = grants.store.rotate

    def meanwhile(old, new):
        record.known.append(revocation(1000.6))
        return rotate(old, new)

    monkeypatch.setattr(grants.store, "rotate", meanwhile)
    assert await refused(grants.refresh(first.refresh, client=None, scope=None)) == "invalid_grant"
    assert grants.store.family(RefreshToken.parse(first.refresh).family).revoked == 1000


async def test_a_revoked_user_has_no_login_of_an_older_version(grants, record):
    older(grants, "living")
    await record.add(revocation(900))
    assert await refused(grants.refresh("living", client=None, scope=None)) == "invalid_grant"


async def test_a_login_is_refreshed_while_redis_is_away_and_not_before_revocations_are_known(
    grants, record, clock
):
    first = await login(grants)
    record.down = True
    with pytest.raises(OpenlineError) as caught:
        await grants.refresh(first.refresh, client=None, scope=None)
    assert caught.value.code is Code.UNAVAILABLE
    record.down = False
    second = await grants.refresh(first.refresh, client=None, scope=None)
    record.down = True
    clock.now += 2
    assert await grants.refresh(second.refresh, client=None, scope=None)
