"""The store on SQLite and on PostgreSQL."""

from __future__ import annotations

import dataclasses
import threading
import traceback

import pytest
import sqlalchemy as sa

from services.auth import store as store_module
from services.auth.store import Client, Family, SingleToken, Store, User
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from tests.support import postgres_server


@pytest.fixture(scope="session")
def postgres():
    with postgres_server.running() as url:
        yield url


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)],
)
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/auth.db"
    url = request.getfixturevalue("postgres")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            sa.text("DROP TABLE IF EXISTS users, clients, refresh_tokens, refresh_families")
        )
    engine.dispose()
    return url


@pytest.fixture
def store(url):
    one = Store(url)
    yield one
    one.close()


def user(name="alice", **fields) -> User:
    return User(**{"username": name, "password": "hash", "created": 1.5, **fields})


def family(name="f", **fields) -> Family:
    base = {
        "family": name,
        "digest": "d1",
        "username": "alice",
        "client_id": None,
        "scope": "",
        "expires": 1000,
        "access_exp": 500,
    }
    return Family(**{**base, **fields})


def single(digest="d1", **fields) -> SingleToken:
    """As a version before families kept it."""
    base = {
        "digest": digest,
        "family": "old",
        "username": "alice",
        "client_id": None,
        "scope": "",
        "expires": 1000,
        "jti": f"jti-{digest}",
        "jti_exp": 500,
    }
    return SingleToken(**{**base, **fields})


def keep(store, *tokens) -> None:
    """Write what an older version has left."""
    for token in tokens:
        store._insert(store_module._single, token)


def test_users_are_kept_as_given_and_names_are_taken_once(store):
    alice = user(scope="read", channels={"room:*": ["subscribe"]})
    assert store.add_user(alice)
    assert not store.add_user(user())
    assert store.user("alice") == alice
    assert store.user("bob") is None
    assert store.users() == [alice]
    assert store.replace_user(user(scope="publish"), 5)
    assert store.user("alice") == user(scope="publish")


def test_clients_are_kept_as_given_and_ids_are_taken_once(store):
    app = Client(client_id="app", secret="digest", created=1)
    assert store.add_client(app)
    assert not store.add_client(app)
    assert store.client("app") == app
    assert store.client("other") is None
    store.replace_client(dataclasses.replace(app, scope="read"))
    assert [client.scope for client in store.clients()] == ["read"]


def test_a_database_of_an_older_version_gets_the_columns_that_it_lacks(url):
    Store(url).close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE clients DROP COLUMN rate"))
        connection.execute(sa.text("ALTER TABLE refresh_families DROP COLUMN issued"))
    engine.dispose()
    store = Store(url)
    app = Client(client_id="app", secret="digest", rate=2.5, created=1)
    assert store.add_client(app)
    assert store.client("app") == app
    store.keep_family(family(issued=7))
    assert store.family("f").issued == 7
    store.close()


def test_logins_end_that_were_refreshed_last_before_their_users_cutoff(store):
    for name, issued in (("a", 10), ("b", 11), ("c", None)):
        store.keep_family(family(name, issued=issued))
    store.keep_family(family("d", username="bob", issued=10))
    keep(store, single())
    store.rotate(store.family("b"), family("b", digest="d2", issued=12))
    assert store.end_logins({"alice": 11, "nobody": 99}, 20) == 3
    assert {name: store.family(name).revoked for name in "abcd"} == {
        "a": 20,
        "b": None,
        "c": 20,
        "d": None,
    }
    assert store.single("d1").revoked == 20
    assert store.end_logins({"alice": 11}, 30) == 0


def test_a_database_from_before_families_gets_their_table_and_keeps_its_logins(url):
    Store(url).close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE refresh_families"))
        connection.execute(
            sa.text(
                "INSERT INTO refresh_tokens VALUES "
                "('d1', 'old', 'alice', NULL, 'read', 1000, NULL, NULL, 'jti-d1', 500)"
            )
        )
    engine.dispose()
    store = Store(url)
    assert store.single("d1") == single(scope="read")
    assert store.adopt(single(), family(digest="d2"), now=10)
    store.close()


def test_disabling_is_once_and_ends_refresh_tokens(store):
    store.add_user(user())
    store.keep_family(family())
    keep(store, single())
    assert store.disable_user("alice", 10)
    assert store.disable_user("alice", 20)
    assert store.user("alice").disabled == 10
    assert store.family("f").revoked == store.single("d1").revoked == 10
    assert not store.disable_user("nobody", 10)
    assert not store.disable_client("nobody", 10)
    store.add_client(Client(client_id="app", secret="digest", created=1))
    assert store.disable_client("app", 30)
    assert store.client("app").disabled == 30


def test_a_login_has_one_record_however_often_it_is_refreshed(store):
    store.keep_family(family())
    for n in range(2, 30):
        before = store.family("f")
        assert store.rotate(before, family(digest=f"d{n}", expires=1000 + n, access_exp=500 + n))
    assert store.family("f") == family(digest="d29", expires=1029, access_exp=529)
    with store._begin() as connection:
        for table in (store_module._families, store_module._single):
            rows = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
            assert rows == (1 if table is store_module._families else 0)


def test_a_refresh_token_is_spent_once(store):
    store.keep_family(family())
    assert store.rotate(family(), family(digest="d2"))
    assert not store.rotate(family(), family(digest="d3"))
    assert store.family("f").digest == "d2"


def test_of_many_at_once_one_spends_it(store):
    store.keep_family(family())
    won = []

    def spend(n):
        won.append(store.rotate(family(), family(digest=f"n{n}")))

    threads = [threading.Thread(target=spend, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_a_revoked_family_ends_and_others_go_on(store):
    for name in "fg":
        store.keep_family(family(name))
    assert store.end_family("f", 10) == (family(revoked=10), [])
    assert not store.rotate(family(), family(digest="d2"))
    assert store.rotate(family("g"), family("g", digest="d2"))
    assert store.end_family("none", 10) == (None, [])


def test_a_token_of_an_older_version_becomes_a_family_once(store):
    keep(store, single("spent", used=5), single())
    assert store.adopt(single(), family(digest="d2"), now=10)
    assert not store.adopt(single(), family("g", digest="d3"), now=11)
    assert store.family("f").digest == "d2"
    assert store.family("g") is None
    assert {store.single(name).family for name in ("spent", "d1")} == {"f"}
    assert store.single("d1").used == 10


def test_access_tokens_that_an_older_version_issued_end_with_the_family(store):
    keep(store, single("spent", used=5, jti_exp=8), single())
    store.adopt(single(), family(digest="d2"), now=6)
    ended = store.end_family("f", 10)
    assert ended.family == family(digest="d2", revoked=10)
    assert [one.jti for one in ended.single] == ["jti-d1"]


def test_what_ended_is_forgotten(store):
    store.keep_family(family(expires=10, access_exp=10))
    store.keep_family(family("new"))
    keep(store, single("old", expires=10, jti_exp=10), single("living"))
    assert store.purge(20) == 2
    assert store.family("f") is None
    assert store.single("old") is None
    assert store.family("new")
    assert store.single("living")


def test_instances_that_start_at_once_make_one_schema(url):
    errors = []

    def start():
        try:
            Store(url).close()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_database_that_is_away_is_unavailable(tmp_path):
    with pytest.raises(OpenlineError) as caught:
        Store("postgresql+psycopg://127.0.0.1:1/none?connect_timeout=2")
    assert caught.value.code is Code.UNAVAILABLE


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_name_is_refused(postgres, encoding):
    engine = sa.create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        make = f"CREATE DATABASE {encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        connection.execute(sa.text(make))
    engine.dispose()
    url = sa.engine.make_url(postgres).set(database=encoding.lower())
    with pytest.raises(ConfigurationError, match=f"is {encoding}, .* ENCODING 'UTF8'"):
        Store(url.render_as_string(hide_password=False))


def test_an_error_of_the_database_shows_no_hash(url):
    hashed = "$argon2id$secret"
    store = Store(url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE users"))
    engine.dispose()
    with pytest.raises(Exception, match=r"users|database") as caught:
        store.add_user(user(password=hashed))
    store.close()
    told = "".join(traceback.format_exception(caught.value))
    assert "INSERT INTO users" in told
    assert hashed not in told


def test_ping_answers(store):
    store.ping()


def test_a_name_that_no_text_can_hold_is_unknown(store):
    """PostgreSQL refuses a NUL with an error that is none of an outage."""
    assert store.user("ali\0ce") is None
    assert store.client("\0") is None
