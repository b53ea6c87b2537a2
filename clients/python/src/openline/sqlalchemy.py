"""An outbox for SQLAlchemy: messages written in the caller's transaction, published when it has been committed.

Nothing is published that was rolled back, and nothing is lost that was committed. Needs SQLAlchemy 2.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from openline import calls
from openline.draining import MAX_CHANNELS, MAX_ROWS, Row, Settled, in_order, settled
from openline.errors import OpenlineError
from openline.grammar import check_channel
from openline.publisher import Publisher
from openline.types import Draft

log = logging.getLogger(__name__)


class Outbox:
    """A table of messages that wait, in your own `metadata`: create or migrate it with your other tables.

    `add` takes part in the caller's transaction. `drain` publishes what has been committed, in order per channel, with
    the row's own key: a message that was published and whose row could not be deleted is not stored twice if it is
    drained again within five minutes. Several processes may drain: on PostgreSQL, MySQL 8 and MariaDB they share
    the channels among them (SKIP LOCKED); elsewhere they would do the same work, and the keys keep it from showing.
    """

    def __init__(self, metadata: sa.MetaData, name: str = "openline_outbox") -> None:
        # SQLite counts up by itself for INTEGER alone.
        number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
        self.table = sa.Table(
            name,
            metadata,
            sa.Column("id", number, primary_key=True, autoincrement=True),
            sa.Column("channel", sa.String(240), nullable=False),
            sa.Column("data", sa.JSON, nullable=False),
            sa.Column("tags", sa.JSON),
            sa.Column("key", sa.String(128), nullable=False),
            sa.Column("created", sa.DateTime(timezone=True), nullable=False),
            sa.Column("error", sa.Text),
            sa.Column("conflate_key", sa.String(128)),
            sa.Index(f"{name}_channel", "channel", "id"),
            sqlite_autoincrement=True,
        )

    def insert(
        self,
        channel: str,
        data: Any,
        *,
        tags: Mapping[str, str] | None = None,
        conflate_key: str | None = None,
    ) -> sa.Insert:
        """The statement that adds a message, for `await session.execute(...)`. Raises OpenlineError, InvalidData."""
        key = uuid.uuid4().hex
        plain = calls.plain(Draft(channel, data, key, tags, conflate_key=conflate_key))
        # A table that has no such column yet takes all but messages that need it.
        rest = {} if conflate_key is None else {"conflate_key": conflate_key}
        return self.table.insert().values(
            channel=check_channel(channel),
            data=plain,
            tags=sa.null() if tags is None else dict(tags),
            key=key,
            created=datetime.now(UTC),
            **rest,
        )

    def add(
        self,
        session: Any,
        channel: str,
        data: Any,
        *,
        tags: Mapping[str, str] | None = None,
        conflate_key: str | None = None,
    ) -> None:
        """Add a message in the transaction of a Session or Connection. Raises OpenlineError, InvalidData.

        `conflate_key` says what it is the newest of; a reader that falls behind may get the newest message of each.
        """
        session.execute(self.insert(channel, data, tags=tags, conflate_key=conflate_key))

    def drain(self, publisher: Publisher, engine: sa.Engine) -> int:
        """Publish all that waits; how many messages left. Raises OpenlineError when the server cannot be reached.

        What the server refuses for good keeps its row, with the reason in `error`, and is not tried again: delete it,
        or set `error` to null to have it sent after all.
        """
        count = 0
        while True:
            with engine.begin() as connection:
                rows = self._claim(connection)
                found = settled(rows, publisher.publish_many(row.draft for row in rows))
                self._settle(connection, found)
            count += len(found.done)
            if found.error is not None:
                raise found.error
            if not rows:
                return count

    def run(
        self,
        publisher: Publisher,
        engine: sa.Engine,
        *,
        stop: threading.Event,
        pause: float = 1.0,
    ) -> None:
        """Drain every `pause` seconds until `stop` is set; what fails for a while is logged."""
        while not stop.is_set():
            try:
                self.drain(publisher, engine)
            except OpenlineError as error:
                log.warning("the outbox waits: %s", error)
            stop.wait(pause)

    def _claim(self, connection: sa.Connection) -> list[Row[int]]:
        """The rows of this round; where the database can, they are locked until the transaction ends."""
        at = self.table.c
        heads = sa.select(sa.func.min(at.id)).where(at.error.is_(None)).group_by(at.channel)
        # Whoever holds a channel's first row has the channel.
        mine = (
            sa.select(at.channel)
            .where(at.id.in_(heads))
            .order_by(at.id)
            .limit(MAX_CHANNELS)
            .with_for_update(skip_locked=True)
        )
        channels = list(connection.scalars(mine))
        waiting = (
            sa.select(at.id, at.channel, at.data, at.key, at.tags, at.conflate_key)
            .where(at.channel.in_(channels), at.error.is_(None))
            .order_by(at.id)
            .limit(MAX_ROWS)
        )
        rows = [Row(*found) for found in connection.execute(waiting)] if channels else []
        if not rows:
            return []
        numbers = [row.id for row in rows]
        lock = sa.select(at.id).where(at.id.in_(numbers)).with_for_update(skip_locked=True)
        return in_order(rows, set(connection.scalars(lock)))

    def _settle(self, connection: sa.Connection, found: Settled[int]) -> None:
        at = self.table.c
        if found.done:
            connection.execute(self.table.delete().where(at.id.in_(found.done)))
        for number, why in found.failed:
            log.error("a message of the outbox was refused: row %s, %s", number, why)
            connection.execute(self.table.update().where(at.id == number).values(error=why))
