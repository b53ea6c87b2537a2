"""Users, clients and refresh tokens in a database: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.schema import CreateIndex, CreateTable

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.configuration import ConfigurationError

_schema = sa.MetaData()
_users = sa.Table(
    "users",
    _schema,
    sa.Column("username", sa.String(64), primary_key=True),
    sa.Column("password", sa.String(256), nullable=False),
    sa.Column("scope", sa.String(256), nullable=False),
    sa.Column("channels", sa.JSON(none_as_null=True)),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("disabled", sa.Float),
)
_clients = sa.Table(
    "clients",
    _schema,
    sa.Column("client_id", sa.String(64), primary_key=True),
    sa.Column("secret", sa.String(64), nullable=False),
    sa.Column("scope", sa.String(256), nullable=False),
    sa.Column("channels", sa.JSON(none_as_null=True)),
    sa.Column("rate", sa.Float),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("disabled", sa.Float),
)
_families = sa.Table(
    "refresh_families",
    _schema,
    sa.Column("family", sa.String(64), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("username", sa.String(64), nullable=False),
    sa.Column("client_id", sa.String(64)),
    sa.Column("scope", sa.String(256), nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("revoked", sa.Float),
    sa.Column("access_exp", sa.Float, nullable=False),
    sa.Column("issued", sa.Float),
    sa.Index("refresh_families_username", "username"),
)
# Earlier versions added a row at each refresh. None is added any more; what is there is good until it is used or ends.
_single = sa.Table(
    "refresh_tokens",
    _schema,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("family", sa.String(64), nullable=False),
    sa.Column("username", sa.String(64), nullable=False),
    sa.Column("client_id", sa.String(64)),
    sa.Column("scope", sa.String(256), nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("used", sa.Float),
    sa.Column("revoked", sa.Float),
    sa.Column("jti", sa.String(64), nullable=False),
    sa.Column("jti_exp", sa.Float, nullable=False),
    sa.Index("refresh_tokens_family", "family"),
    sa.Index("refresh_tokens_username", "username"),
)

_ADDED = (("clients", "rate"), ("refresh_families", "issued"))
"""Columns that a database of an older version lacks: numbers, NULL in the rows that are there."""

_SCHEMA_LOCK = 0x6F70656E6C696E65

_PATIENCE = 5.0
"""Seconds that SQLite's other users may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user with a password here. `scope` is space-separated; `disabled` is when, or None."""

    username: str
    password: str
    scope: str = ""
    channels: Mapping[str, Any] | None = None
    created: float
    disabled: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An API client. `secret` is a digest; `rate` is how many HTTP calls a second it may make, or None."""

    client_id: str
    secret: str
    scope: str = ""
    channels: Mapping[str, Any] | None = None
    rate: float | None = None
    created: float
    disabled: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The refresh tokens of one login: only the newest is good, and only its digest is kept.

    `family` is a digest itself; `access_exp` is when the last access token that came of the login ends. `issued` is the
    `iat` of that one, None in what an older version has kept.
    """

    family: str
    digest: str
    username: str
    client_id: str | None
    scope: str
    expires: float
    revoked: float | None = None
    access_exp: float
    issued: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleToken:
    """A refresh token of a version that kept each by itself; `jti` is the access token issued with it."""

    digest: str
    family: str
    username: str
    client_id: str | None
    scope: str
    expires: float
    used: float | None = None
    revoked: float | None = None
    jti: str
    jti_exp: float


class Ended(NamedTuple):
    """What was left of a family when it ended: its record, and access tokens that an older version has issued."""

    family: Family | None
    single: list[SingleToken]


class Store:
    """Synchronous: call it in a thread. Every method raises `unavailable` when the database is."""

    def __init__(self, url: str) -> None:
        """Raises ConfigurationError when the database cannot hold every name."""
        self._engine = _engine(url)
        try:
            self._create()
        except ConfigurationError:
            self.close()
            raise

    def ping(self) -> None:
        """Raises `unavailable` when the database does not answer."""
        with self._begin() as connection:
            connection.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def add_user(self, user: User) -> bool:
        """Whether it was added; False when the name is taken."""
        return self._insert(_users, user)

    def replace_user(self, user: User, now: float) -> bool:
        """Put this record in the place of the one of that name, and end what its refresh tokens opened.

        Whether there was one.
        """
        with self._begin() as connection:
            _end(connection, "username", user.username, now)
            return self._replace(connection, _users, _users.c.username == user.username, user)

    def user(self, username: str) -> User | None:
        """The user of that name, disabled or not."""
        rows = self._named(_users, _users.c.username, username)
        return User(**rows[0]) if rows else None

    def users(self) -> list[User]:
        """All, by name."""
        return [User(**row) for row in self._rows(_users.select().order_by(_users.c.username))]

    def disable_user(self, username: str, now: float) -> bool:
        """No login and no refresh from now on. False when there is no such user."""
        with self._begin() as connection:
            _end(connection, "username", username, now)
            return _mark(connection, _users, _users.c.username == username, disabled=now)

    def end_logins(self, cutoffs: Mapping[str, float], now: float) -> int:
        """End the logins that were refreshed last up to the cutoff of their user; how many there were.

        One of an older version, which does not say when, ends too.
        """
        which = (_families.c.username == sa.bindparam("user")) & _families.c.revoked.is_(None)
        which &= _families.c.issued.is_(None) | (_families.c.issued <= sa.bindparam("cutoff"))
        single = (_single.c.username == sa.bindparam("user")) & _single.c.revoked.is_(None)
        ended = 0
        with self._begin() as connection:
            for user, cutoff in cutoffs.items():
                values = {"user": user, "cutoff": cutoff}
                for table, rows in ((_families, which), (_single, single)):
                    ending = table.update().where(rows).values(revoked=now)
                    ended += connection.execute(ending, values).rowcount
        return ended

    def add_client(self, client: Client) -> bool:
        """Whether it was added; False when the id is taken."""
        return self._insert(_clients, client)

    def replace_client(self, client: Client) -> None:
        """Put this record in the place of the one of that id, if any."""
        with self._begin() as connection:
            self._replace(connection, _clients, _clients.c.client_id == client.client_id, client)

    def client(self, client_id: str) -> Client | None:
        """The client of that id, disabled or not."""
        rows = self._named(_clients, _clients.c.client_id, client_id)
        return Client(**rows[0]) if rows else None

    def clients(self) -> list[Client]:
        """All, by id."""
        rows = self._rows(_clients.select().order_by(_clients.c.client_id))
        return [Client(**row) for row in rows]

    def disable_client(self, client_id: str, now: float) -> bool:
        """No token from now on. False when there is no such client."""
        with self._begin() as connection:
            _end(connection, "client_id", client_id, now)
            return _mark(connection, _clients, _clients.c.client_id == client_id, disabled=now)

    def family(self, name: str) -> Family | None:
        """The family of that name, in whatever state."""
        rows = self._rows(_families.select().where(_families.c.family == name))
        return Family(**rows[0]) if rows else None

    def keep_family(self, new: Family) -> None:
        """Keep the first token of a login."""
        self._insert(_families, new)

    def rotate(self, old: Family, new: Family) -> bool:
        """Put the newest token in the place of the one before; False when that was not the newest any more.

        Of two that try at once exactly one gets True.
        """
        newest = (
            (_families.c.family == old.family)
            & (_families.c.digest == old.digest)
            & _families.c.revoked.is_(None)
        )
        names = ("digest", "expires", "access_exp", "issued")
        values = {name: getattr(new, name) for name in names}
        with self._begin() as connection:
            return connection.execute(_families.update().where(newest).values(values)).rowcount > 0

    def end_family(self, name: str, now: float) -> Ended:
        """End the refresh tokens of a login; what access tokens may still live."""
        with self._begin() as connection:
            _end(connection, "family", name, now)
        alive = (_single.c.family == name) & (_single.c.jti_exp > now)
        rows = self._rows(_single.select().where(alive))
        return Ended(self.family(name), [SingleToken(**row) for row in rows])

    def single(self, digest: str) -> SingleToken | None:
        """The refresh token of an older version, in whatever state."""
        rows = self._rows(_single.select().where(_single.c.digest == digest))
        return SingleToken(**rows[0]) if rows else None

    def adopt(self, old: SingleToken, new: Family, *, now: float) -> bool:
        """Spend a token of an older version and keep a family in its place, as one step; False when it was spent before.

        The spent ones of its login belong to that family from now on, so that their reuse ends it.
        """
        unspent = (_single.c.digest == old.digest) & _single.c.used.is_(None)
        unspent &= _single.c.revoked.is_(None)
        of_family = _single.update().where(_single.c.family == old.family)
        with self._begin() as connection:
            if not connection.execute(_single.update().where(unspent).values(used=now)).rowcount:
                return False
            connection.execute(of_family.values(family=new.family))
            connection.execute(_families.insert().values(**_values(new)))
            return True

    def purge(self, now: float) -> int:
        """Forget the refresh tokens of logins that ended."""
        families = (_families.c.expires < now) & (_families.c.access_exp < now)
        single = (_single.c.expires < now) & (_single.c.jti_exp < now)
        with self._begin() as connection:
            gone = connection.execute(_families.delete().where(families)).rowcount
            return gone + connection.execute(_single.delete().where(single)).rowcount

    def _named(self, table: sa.Table, column: sa.Column[str], name: str) -> list[dict[str, Any]]:
        # A stranger may send any name, and PostgreSQL's text holds no NUL: it would be an error instead of no row.
        return [] if "\0" in name else self._rows(table.select().where(column == name))

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._begin() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _insert(self, table: sa.Table, value: Any) -> bool:
        try:
            with self._begin() as connection:
                connection.execute(table.insert().values(**_values(value)))
        except IntegrityError:
            return False
        return True

    def _replace(self, connection: Connection, table: sa.Table, which: Any, value: Any) -> bool:
        existed = connection.execute(table.delete().where(which)).rowcount > 0
        connection.execute(table.insert().values(**_values(value)))
        return existed

    def _create(self) -> None:
        with self._begin() as connection:
            if connection.dialect.name == "postgresql":
                _check_encoding(connection)
                # IF NOT EXISTS alone still fails when two instances create the same table at once.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            for table in _schema.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))
            for name, added in _ADDED:
                kept = {column["name"] for column in sa.inspect(connection).get_columns(name)}
                if added not in kept:
                    connection.execute(sa.text(f"ALTER TABLE {name} ADD COLUMN {added} FLOAT"))

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError, PoolTimeoutError) as error:
            raise OpenlineError(
                Code.UNAVAILABLE, "the database does not answer", retry_after=1
            ) from error


def _end(connection: Connection, column: str, value: str, now: float) -> None:
    """Revoke the refresh tokens of a user, client or family."""
    for table in (_families, _single):
        _mark(connection, table, table.c[column] == value, revoked=now)


def _check_encoding(connection: Connection) -> None:
    encoding = connection.execute(sa.text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"OPENLINE_DATABASE_URL: the database's encoding is {encoding}, but names may have any letters; make one by"
            " CREATE DATABASE openline ENCODING 'UTF8' TEMPLATE template0"
        )


def _mark(connection: Connection, table: sa.Table, which: Any, **values: float) -> bool:
    """Set a time column where it is not set yet; whether such rows exist at all."""
    for column, value in values.items():
        unset = which & table.c[column].is_(None)
        connection.execute(table.update().where(unset).values({column: value}))
    return connection.execute(sa.select(sa.literal(1)).where(which).limit(1)).first() is not None


def _values(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    # hide_parameters: an error that nobody expected is logged, and must not show hashes and digests.
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(
            parsed,
            pool_pre_ping=True,
            pool_timeout=5,
            hide_parameters=True,
            # Else it is the database's own, and of some of these text comes as bytes, before anything can be refused.
            connect_args={"client_encoding": "utf8"},
        )
    if parsed.database and parsed.database != ":memory:":
        _make_private(Path(parsed.database))
    engine = sa.create_engine(parsed, connect_args={"timeout": _PATIENCE}, hide_parameters=True)
    sa.event.listen(engine, "connect", _pragmas)
    return engine


def _make_private(path: Path) -> None:
    """Make the file here, because SQLite would let everyone read it; its WAL files take over the mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        problem = error.strerror or str(error)
        raise OpenlineError(Code.UNAVAILABLE, f"{path}: {problem}") from error


def _pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # Readers and the one writer do not wait for each other; a commit survives the process, if not the power.
    _turn_on_wal(cursor)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _turn_on_wal(cursor: Any) -> None:
    """Waits for others that turn it on at the same time: here SQLite, for fear of a deadlock, does not wait by itself."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
