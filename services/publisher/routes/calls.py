"""What every group of calls is made of."""

from __future__ import annotations

from services.publisher.routes.guard import Guard
from services.publisher.service import Publisher


class Calls:
    """Calls that the guard lets through and the publisher carries out."""

    def __init__(self, publisher: Publisher, guard: Guard) -> None:
        self._publisher = publisher
        self._guard = guard
