"""Messages on their way, without I/O: which call comes next, what its answer means for each, what is tried again."""

from __future__ import annotations

import copy
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from openline import calls
from openline.calls import Answer, Call, Item
from openline.errors import OpenlineError
from openline.retries import Attempts
from openline.types import Draft, Published

MAX_MESSAGES = 1000
MAX_BYTES = 900 * 1024
"""Of one call; the front door takes 1 MiB."""

KEY_BYTES = 16

Outcome: TypeAlias = Published | OpenlineError

_OF_ONE = frozenset({"bad_request", "too_large", "invalid_data", "limit_exceeded"})
"""Codes with which a batch is refused as a whole for what may be one message's fault."""


def new_key() -> str:
    """A key that no other message has: 128 random bits."""
    return secrets.token_urlsafe(KEY_BYTES)


def checked(drafts: Iterable[Draft]) -> Iterator[Item | OpenlineError]:
    """Each draft as it is sent, with a key; or what is wrong with it."""
    for draft in drafts:
        try:
            yield calls.item(draft, key=new_key())
        except OpenlineError as error:
            yield error


def chunks(items: Iterable[Item | OpenlineError]) -> Iterator[list[Item | OpenlineError]]:
    """The same in their order, in lists that one call can take. Bytes stand alone: a batch is JSON."""
    chunk: list[Item | OpenlineError] = []
    size = 0
    for item in items:
        more = 0 if isinstance(item, OpenlineError) else item.size + 1
        octets = isinstance(item, Item) and item.octets
        if chunk and (octets or len(chunk) == MAX_MESSAGES or size + more > MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += more
        if octets:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


class Delivery:
    """One chunk of messages, until each of them has its outcome.

    Use: while there is a `call()`, send it, hand what came to `answered` or `failed`, and wait as many seconds as they
    say. What is refused for a while is tried again with its key. A batch that is refused as a whole is halved, so that
    one bad message fails alone.
    """

    def __init__(
        self,
        chunk: Sequence[Item | OpenlineError],
        *,
        attempts: Attempts,
        build: Callable[[Sequence[Item]], Call] = calls.publish,
    ) -> None:
        self.attempts = attempts
        self.given_up: OpenlineError | None = None
        self._build = build
        self._items = {n: item for n, item in enumerate(chunk) if isinstance(item, Item)}
        self._outcomes: list[Outcome | None] = [
            item if isinstance(item, OpenlineError) else None for item in chunk
        ]
        self._parts = deque([list(self._items)] if self._items else [])

    @property
    def outcomes(self) -> list[Outcome]:
        """One a message, in their order; to be read when there is no further call."""
        return [outcome for outcome in self._outcomes if outcome is not None]

    def outcome(self, number: int) -> Outcome | None:
        """That of one message; None while it is on its way."""
        return self._outcomes[number]

    def call(self) -> Call | None:
        """What to send next; None: all is said."""
        return self._build(self._sent()) if self._parts else None

    def answered(self, answer: Answer, now: float) -> float:
        """Seconds to wait until the next call."""
        try:
            found = calls.results(answer, self._sent())
        except OpenlineError as error:
            return self.failed(error, now)
        again: list[int] = []
        for number, outcome in zip(self._parts.popleft(), found, strict=True):
            self._outcomes[number] = outcome
            if isinstance(outcome, OpenlineError) and outcome.temporary:
                again.append(number)
        return self._again(again, now)

    def failed(self, error: OpenlineError, now: float) -> float:
        """Nothing came, or a refusal of the whole call; seconds to wait until the next call."""
        numbers = self._parts[0]
        if error.code in _OF_ONE and len(numbers) > 1:
            middle = len(numbers) // 2
            self._parts[0] = numbers[middle:]
            self._parts.appendleft(numbers[:middle])
            return 0.0
        wait = self.attempts.wait(error, now) if error.temporary else None
        if wait is not None:
            return wait
        if error.code in _OF_ONE:
            self._settle(self._parts.popleft(), error)
            return 0.0
        self._give_up(error)
        return 0.0

    def _again(self, numbers: list[int], now: float) -> float:
        if not numbers:
            self.attempts.succeeded()
            return 0.0
        outcomes = [self._outcomes[number] for number in numbers]
        longest = max(
            (error for error in outcomes if isinstance(error, OpenlineError)),
            key=lambda error: error.retry_after or 0.0,
        )
        wait = self.attempts.wait(longest, now)
        if wait is None:
            return 0.0
        for number in numbers:
            self._outcomes[number] = None
        self._parts.appendleft(numbers)
        return wait

    def _give_up(self, error: OpenlineError) -> None:
        self.given_up = error
        while self._parts:
            self._settle(self._parts.popleft(), error)

    def _settle(self, numbers: Iterable[int], error: OpenlineError) -> None:
        for number in numbers:
            self._outcomes[number] = same(error)

    def _sent(self) -> list[Item]:
        return [self._items[number] for number in self._parts[0]]


def same(error: OpenlineError) -> OpenlineError:
    """The error once more: an exception that several raise would gather all their tracebacks."""
    again = copy.copy(error)
    again.__cause__ = error.__cause__
    return again
