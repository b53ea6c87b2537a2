"""docs/recipes/sqlalchemy.md and its outbox, on SQLite and PostgreSQL, before the running system."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from openline import OpenlineError, Publisher
from openline.errors import InvalidData
from openline.sqlalchemy import Outbox
from tests.support.documents import example
from tests.support.faulty_front import FaultyFront, faulty_front
from tests.support.recipes import environment, module
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.clients


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request, tmp_path) -> Iterator[sa.Engine]:
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")
    else:
        url = f"sqlite:///{tmp_path / 'shop.db'}"
    made = sa.create_engine(url)
    yield made
    made.dispose()


@pytest.fixture
def outbox(engine: sa.Engine) -> Iterator[Outbox]:
    metadata = sa.MetaData()
    made = Outbox(metadata)
    metadata.create_all(engine)
    yield made
    metadata.drop_all(engine)


@pytest.fixture
def front(stack: Stack) -> Iterator[FaultyFront]:
    with faulty_front(stack.url) as found:
        yield found


@pytest.fixture
def publisher(stack: Stack, front: FaultyFront) -> Iterator[Publisher]:
    given = environment(stack, front.url)
    arguments = {name.removeprefix("OPENLINE_").lower(): given[name] for name in given}
    with Publisher(**arguments, attempts=1, timeout=30, patience=60) as found:
        yield found


@pytest.fixture
def room() -> str:
    return f"room:{secrets.token_hex(6)}"


def stored(publisher: Publisher, channel: str) -> list[Any]:
    return [message.data for message in publisher.history(channel, limit=500).messages]


def left(engine: sa.Engine, outbox: Outbox) -> list[tuple[str, Any]]:
    with engine.connect() as connection:
        table = outbox.table.c
        rows = connection.execute(sa.select(table.channel, table.error).order_by(table.id))
        return [tuple(row) for row in rows]


def test_what_is_committed_is_published_in_order_and_what_is_rolled_back_is_not(
    engine, outbox, publisher, room
):
    with Session(engine) as session, session.begin():
        for number in range(3):
            outbox.add(session, room, number, tags={"a": "b"})
    with Session(engine) as session:
        outbox.add(session, room, "rolled back")
        session.rollback()
    assert stored(publisher, room) == []
    assert outbox.drain(publisher, engine) == 3
    assert stored(publisher, room) == [0, 1, 2]
    assert publisher.history(room).messages[0].tags == {"a": "b"}
    assert outbox.drain(publisher, engine) == 0


def test_a_message_says_what_it_is_the_newest_of(engine, outbox, publisher, room):
    with engine.begin() as connection:
        outbox.add(connection, room, 1, conflate_key="EURUSD")
        outbox.add(connection, room, 2)
        with pytest.raises(OpenlineError, match="conflate_key"):
            outbox.add(connection, room, 3, conflate_key="x" * 129)
    assert outbox.drain(publisher, engine) == 2
    assert [one.conflate_key for one in publisher.history(room).messages] == ["EURUSD", None]


def test_a_table_of_before_takes_messages_which_leave_when_it_has_the_new_column(
    engine, outbox, publisher, room
):
    """The statement is that of docs/recipes/sqlalchemy.md."""
    (statement,) = example("docs/recipes/sqlalchemy.md", "A table of before", 0)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE openline_outbox DROP COLUMN conflate_key"))
    with engine.begin() as connection:
        outbox.add(connection, room, 1)
    with pytest.raises(sa.exc.DBAPIError, match="conflate_key"):
        outbox.drain(publisher, engine)
    with engine.begin() as connection:
        connection.execute(sa.text(statement.code))
    with engine.begin() as connection:
        outbox.add(connection, room, 2, conflate_key="a")
    assert outbox.drain(publisher, engine) == 2
    messages = publisher.history(room).messages
    assert [(one.data, one.conflate_key) for one in messages] == [(1, None), (2, "a")]


def test_null_and_text_are_kept_as_they_are(engine, outbox, publisher, room):
    with engine.begin() as connection:
        for data in (None, "é", {"n": [1.5, True]}):
            outbox.add(connection, room, data)
    outbox.drain(publisher, engine)
    assert stored(publisher, room) == [None, "é", {"n": [1.5, True]}]


def test_what_is_refused_for_good_keeps_its_row_and_holds_up_nobody(
    engine, outbox, publisher, room
):
    with engine.begin() as connection:
        outbox.add(connection, room, 1)
        outbox.add(connection, room, "x" * 70_000)
        outbox.add(connection, room, 3)
    assert outbox.drain(publisher, engine) == 2
    assert stored(publisher, room) == [1, 3]
    ((channel, error),) = left(engine, outbox)
    assert channel == room
    assert "too_large" in error
    assert outbox.drain(publisher, engine) == 0


def test_what_cannot_be_published_is_refused_in_the_transaction(engine, outbox):
    with engine.connect() as connection:
        with pytest.raises(OpenlineError, match="namespace:name"):
            outbox.add(connection, "lobby", 1)
        with pytest.raises(InvalidData, match="bytes directly"):
            outbox.add(connection, "room:a", b"x")


def test_rows_wait_while_the_server_is_away(engine, outbox, publisher, front, room):
    with engine.begin() as connection:
        outbox.add(connection, room, 1)
    front.faults.append("503 before")
    with pytest.raises(OpenlineError) as refused:
        outbox.drain(publisher, engine)
    assert refused.value.temporary
    assert left(engine, outbox) == [(room, None)]
    assert outbox.drain(publisher, engine) == 1
    assert stored(publisher, room) == [1]


def test_a_drain_that_dies_after_the_server_has_stored_repeats_nothing(
    engine, outbox, publisher, front, room
):
    with engine.begin() as connection:
        for number in range(3):
            outbox.add(connection, room, number)
    front.faults.append("cut after")
    with pytest.raises(OpenlineError):
        outbox.drain(publisher, engine)
    assert stored(publisher, room) == [0, 1, 2]
    assert outbox.drain(publisher, engine) == 3
    assert stored(publisher, room) == [0, 1, 2]


def test_a_wrong_secret_leaves_all_rows(engine, outbox, stack, room):
    with engine.begin() as connection:
        outbox.add(connection, room, 1)
    with (
        Publisher(stack.url, client_id="demo", client_secret="wrong") as wrong,
        pytest.raises(OpenlineError, match="unauthorized"),
    ):
        outbox.drain(wrong, engine)
    assert left(engine, outbox) == [(room, None)]


def test_several_drains_keep_the_order_of_each_channel(engine, outbox, publisher, room):
    rooms = [f"{room}-{number}" for number in range(4)]
    count = 60

    def write():
        for number in range(count):
            with engine.begin() as connection:
                for channel in rooms:
                    outbox.add(connection, channel, number)

    def drain():
        while not (written.is_set() and not left(engine, outbox)):
            outbox.drain(publisher, engine)

    written = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        drains = [pool.submit(drain) for _ in range(3)]
        pool.submit(write).result(60)
        written.set()
        for one in drains:
            one.result(60)
    for channel in rooms:
        assert stored(publisher, channel) == list(range(count))


def test_the_recipe_publishes_what_is_ordered(stack, front, tmp_path, monkeypatch):
    for name, value in environment(stack, front.url).items():
        monkeypatch.setenv(name, value)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    examples = ("SQLAlchemy: an outbox", 0), ("Draining it", 0)
    with Publisher() as reader, module("sqlalchemy.md", *examples, name="shop_sqlalchemy") as shop:
        shop.Base.metadata.create_all(engine)
        before = reader.history("notify:orders", limit=1).offset
        shop.place_order(engine, "tea")
        stop = threading.Event()
        thread = threading.Thread(target=shop.drain_for_ever, args=(engine, stop))
        thread.start()
        wait_until(lambda: reader.history("notify:orders", limit=1).offset > before)
        stop.set()
        thread.join(30)
        newest = reader.history("notify:orders", limit=1, reverse=True).messages[0]
        assert newest.data == {"item": "tea"}
    engine.dispose()
