"""Logins of users that were revoked elsewhere end in the database, whatever becomes of the record."""

from __future__ import annotations

import pytest

from services.auth import revoked_logins
from services.auth.revoked_logins import RevokedLogins
from services.auth.revoker import Revoker
from services.auth.store import Family, Store
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.revocations import Kind, Revocation
from tests.support.revocation_record import Record
from tests.unit.auth.test_revoker import Clock

NAMES = ("alice", "bob", "carol")


@pytest.fixture
def store(tmp_path):
    one = Store(f"sqlite:///{tmp_path}/auth.db")
    for name in NAMES:
        one.keep_family(
            Family(
                family=name,
                digest=name,
                username=name,
                client_id=None,
                scope="",
                expires=9000,
                access_exp=9000,
                issued=900,
            )
        )
    yield one
    one.close()


@pytest.fixture
def record():
    return Record()


@pytest.fixture
def logins(record, store):
    clock = Clock()
    return RevokedLogins(Revoker(record, clock=clock), store, clock=clock)


def user(name, cutoff=950.0):
    return Revocation(kind=Kind.SUBJECT, value=name, exp=5000, cutoff=cutoff)


def ended(store):
    return [name for name in NAMES if store.family(name).revoked is not None]


async def test_what_is_in_the_record_at_the_start_and_what_comes_later_ends(logins, record, store):
    record.known.append(user("alice"))
    await logins.catch_up()
    assert ended(store) == ["alice"]
    await record.add(user("bob"), Revocation(kind=Kind.CLIENT, value="carol", exp=5000, cutoff=950))
    await logins.catch_up()
    assert ended(store) == ["alice", "bob"]


async def test_it_stays_ended_when_the_record_has_forgotten(logins, record, store):
    await record.add(user("alice"))
    await logins.catch_up()
    record.known.clear()
    store.rotate(store.family("alice"), store.family("alice"))
    assert ended(store) == ["alice"]


async def test_a_login_after_the_revocation_goes_on(logins, record, store):
    await record.add(user("alice", cutoff=899.9), user("bob", cutoff=900))
    await logins.catch_up()
    assert ended(store) == ["bob"]


async def test_what_could_not_be_ended_is_tried_again(logins, record, store, monkeypatch):
    monkeypatch.setattr(revoked_logins, "BATCH", 1)
    await record.add(*map(user, NAMES))
    end, calls = store.end_logins, []

    def away_once(users, now):
        calls.append(list(users))
        if len(calls) == 2:
            raise OpenlineError(Code.UNAVAILABLE, "the database does not answer")
        return end(users, now)

    monkeypatch.setattr(store, "end_logins", away_once)
    with pytest.raises(OpenlineError):
        await logins.catch_up()
    assert ended(store) == ["alice"]
    await logins.catch_up()
    assert calls == [["alice"], ["bob"], ["bob"], ["carol"]]
    assert ended(store) == list(NAMES)
    await logins.catch_up()
    assert len(calls) == 4, "nothing is left to do"
