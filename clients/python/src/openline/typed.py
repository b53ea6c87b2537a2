"""Channels whose data has a type: the name is filled and the data checked before anything is published."""

from __future__ import annotations

import string
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar, overload

from openline.async_publisher import AsyncPublisher
from openline.errors import OpenlineError
from openline.grammar import check_channel
from openline.publisher import Publisher
from openline.types import Draft, Published
from openline.validators import to_plain, validator

T = TypeVar("T")


class Typed(Generic[T]):
    """Channels of one pattern and the type of their data: `Typed("room:{id}", Chat)`.

    `kind` is a pydantic model, a dataclass, a TypedDict or a function that checks. Raises TypeError when it is none,
    OpenlineError (`bad_request`) when no channel could be written so.
    """

    def __init__(self, pattern: str, kind: type[T] | Callable[[Any], T]) -> None:
        self.pattern = pattern
        self.kind = kind
        self.parameters = _parameters(pattern)
        self._check = validator(kind)
        self.name(**dict.fromkeys(self.parameters, "x"))

    def name(self, **parameters: object) -> str:
        """The channel with these parameters in it. Raises TypeError for others than the pattern's, OpenlineError
        (`bad_request`) naming the character that no channel can have.
        """
        if parameters.keys() != self.parameters:
            named = ", ".join(sorted(self.parameters)) or "none"
            given = ", ".join(sorted(parameters)) or "none"
            raise TypeError(f"{self.pattern} takes the parameters {named}; given: {given}")
        return check_channel(self.pattern.format(**parameters))

    def parse(self, data: Any) -> T:
        """Plain data as a value of the type. Raises InvalidData naming the place that does not fit."""
        return self._check(data)

    def draft(self, value: T, *, key: str | None = None, **parameters: object) -> Draft:
        """The message for `publish_many`, a batch or an outbox. Raises InvalidData, OpenlineError and TypeError."""
        return Draft(self.name(**parameters), to_plain(self.parse(to_plain(value))), key)

    @overload
    def publish(
        self, publisher: Publisher, value: T, *, key: str | None = None, **parameters: object
    ) -> Published: ...
    @overload
    def publish(
        self, publisher: AsyncPublisher, value: T, *, key: str | None = None, **parameters: object
    ) -> Awaitable[Published]: ...
    def publish(
        self,
        publisher: Publisher | AsyncPublisher,
        value: T,
        *,
        key: str | None = None,
        **parameters: object,
    ) -> Published | Awaitable[Published]:
        """Check and publish: `Room.publish(publisher, Chat(text="hi"), id="lobby")`; awaited with an AsyncPublisher."""
        draft = self.draft(value, key=key, **parameters)
        return publisher.publish(draft.channel, draft.data, key=draft.key)

    def __repr__(self) -> str:
        return f"Typed({self.pattern!r}, {getattr(self.kind, '__name__', self.kind)!s})"


def _parameters(pattern: str) -> set[str]:
    found: set[str] = set()
    for _, name, form, conversion in string.Formatter().parse(pattern):
        if name is None:
            continue
        if not name.isidentifier() or form or conversion or name == "key":
            raise OpenlineError(
                f"{pattern!r}: a parameter is written {{name}}, and has another name than key",
                code="bad_request",
            )
        found.add(name)
    return found
