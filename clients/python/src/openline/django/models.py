"""The outbox: messages written in the caller's transaction, published when it has been committed."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from django.db import connections, models, transaction

from openline import calls
from openline.draining import MAX_CHANNELS, MAX_ROWS, Row, Settled, in_order, settled
from openline.grammar import check_channel
from openline.publisher import Publisher
from openline.types import Draft

log = logging.getLogger(__name__)


class Outbox(models.Manager["OutboxMessage"]):
    """`OutboxMessage.objects`."""

    def add(
        self,
        channel: str,
        data: Any,
        *,
        tags: Mapping[str, str] | None = None,
        conflate_key: str | None = None,
    ) -> OutboxMessage:
        """Add a message in the present transaction. Raises OpenlineError and InvalidData.

        `conflate_key` says what it is the newest of; a reader that falls behind may get the newest message of each.
        """
        plain = calls.plain(Draft(channel, data, tags=tags, conflate_key=conflate_key))
        added: OutboxMessage = self.create(
            channel=check_channel(channel),
            # A bare None would be SQL's NULL, not JSON's.
            data=models.Value(None, models.JSONField()) if plain is None else plain,
            tags=None if tags is None else dict(tags),
            conflate_key=conflate_key,
        )
        return added

    def drain(self, publisher: Publisher) -> int:
        """Publish all that waits, in order per channel; how many messages left.

        Several processes may drain: where the database can skip locked rows they share the channels among them,
        elsewhere they would do the same work, and the rows' keys keep it from showing. What the server refuses for good
        keeps its row, with the reason in `error`, and is not tried again. Raises OpenlineError when the server cannot
        be reached.
        """
        count = 0
        while True:
            with transaction.atomic(using=self.db):
                rows = self._claim()
                found = settled(rows, publisher.publish_many(row.draft for row in rows))
                self._settle(found)
            count += len(found.done)
            if found.error is not None:
                raise found.error
            if not rows:
                return count

    def _claim(self) -> list[Row[int]]:
        """The rows of this round; where the database can, they are locked until the transaction ends."""
        waiting = self.filter(error="").order_by("id")
        heads = self.filter(error="").order_by().values("channel").annotate(first=models.Min("id"))
        # Whoever holds a channel's first row has the channel.
        mine = self._locked(waiting.filter(id__in=heads.values("first")))
        channels = list(mine.values_list("channel", flat=True)[:MAX_CHANNELS])
        named = waiting.filter(channel__in=channels)
        columns = ("id", "channel", "data", "key", "tags", "conflate_key")
        rows = [Row(*found) for found in named.values_list(*columns)[:MAX_ROWS]]
        lock = self._locked(self.filter(id__in=[row.id for row in rows]))
        return in_order(rows, set(lock.values_list("id", flat=True)))

    def _locked(self, rows: Any) -> Any:
        if connections[self.db].features.has_select_for_update_skip_locked:
            return rows.select_for_update(skip_locked=True)
        return rows

    def _settle(self, found: Settled[int]) -> None:
        self.filter(id__in=found.done).delete()
        for number, why in found.failed:
            log.error("a message of the outbox was refused: row %s, %s", number, why)
            self.filter(id=number).update(error=why)


def new_key() -> str:
    """What makes a repeated publish of a row one."""
    return uuid.uuid4().hex


class OutboxMessage(models.Model):
    """A message that waits; `error` is why the server refused it for good."""

    id = models.BigAutoField(primary_key=True)
    channel = models.CharField(max_length=240)
    data = models.JSONField()
    tags = models.JSONField(null=True)
    key = models.CharField(max_length=128, default=new_key, editable=False)
    created = models.DateTimeField(auto_now_add=True)
    error = models.TextField(default="", blank=True)
    # None is "no key"; an empty one is refused.
    conflate_key = models.CharField(max_length=128, null=True, blank=True)  # noqa: DJ001

    objects = Outbox()

    class Meta:
        """The index finds each channel's first row."""

        indexes = (models.Index(fields=["channel", "id"], name="openline_outbox_channel"),)

    def __str__(self) -> str:
        return f"{self.channel} #{self.pk}"
