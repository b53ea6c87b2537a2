"""The process's publisher, and publishing that waits for the transaction."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.core.signals import setting_changed
from django.db import transaction

from openline import calls, deliveries
from openline.django.configuration import option
from openline.publisher import Publisher
from openline.types import Draft


@cache
def publisher() -> Publisher:
    """The publisher of this process, made at the first use. Raises OpenlineError (`bad_configuration`)."""
    return Publisher(
        option("URL"),
        client_id=option("CLIENT_ID"),
        client_secret=option("CLIENT_SECRET"),
        **option("OPTIONS", {}),
    )


def _forget(*, setting: str, **_: object) -> None:
    """Tests override `OPENLINE`: the next use makes a publisher of the new one."""
    if setting == "OPENLINE":
        publisher.cache_clear()


setting_changed.connect(_forget)


def publish_on_commit(
    channel: str,
    data: Any,
    *,
    key: str | None = None,
    tags: Mapping[str, str] | None = None,
    conflate_key: str | None = None,
    using: str | None = None,
) -> None:
    """Publish when the transaction has been committed, at once when there is none; never when it is rolled back.

    `data` is read now: what changes later is not published. Raises OpenlineError and InvalidData for what cannot be
    published. When the server is away at the commit, the message is lost and Django logs the error: it is too late to
    fail. `OutboxMessage.objects.add` loses nothing.
    """
    key = key or deliveries.new_key()
    data = calls.plain(Draft(channel, data, key, tags, conflate_key=conflate_key))

    def publish() -> None:
        publisher().publish(channel, data, key=key, tags=tags, conflate_key=conflate_key)

    transaction.on_commit(publish, using=using, robust=True)
