"""Messages collected by hand, to leave in as few calls as they fit into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from openline.deliveries import Outcome
from openline.errors import OpenlineError
from openline.types import Draft, Position


class Batch:
    """What `publisher.batch()` gives: `publish` collects, the end of the block sends.

    `outcomes` is then one `Published` or `OpenlineError` a message, in order. Where any message failed the block raises
    the first such error; what stood before and after it was published all the same.
    """

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._drafts: list[Draft] = []

    def publish(
        self,
        channel: str,
        data: Any,
        *,
        key: str | None = None,
        conflate_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        ephemeral: bool = False,
        expect: Position | None = None,
    ) -> None:
        """Collect one message; arguments as those of the publisher."""
        self._drafts.append(Draft(channel, data, key, tags, ephemeral, expect, conflate_key))

    def add(self, draft: Draft) -> None:
        """Collect one message."""
        self._drafts.append(draft)

    def __len__(self) -> int:
        return len(self._drafts)

    def __iter__(self) -> Iterator[Draft]:
        return iter(self._drafts)

    def settle(self, outcomes: list[Outcome]) -> None:
        """Note what became of the messages. Raises the first error among them."""
        self.outcomes = outcomes
        for outcome in outcomes:
            if isinstance(outcome, OpenlineError):
                raise outcome
