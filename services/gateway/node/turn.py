"""What is put off until the entries at hand are delivered: no turn of the loop lies between a message and its readers."""

from __future__ import annotations

from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)


class Turn:
    """Callbacks that wait for the end of a batch, or for the loop's next turn (`call_soon`) outside of one."""

    __slots__ = ("_call_soon", "_held")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._held: list[Callable[[], None]] | None = None

    def soon(self, callback: Callable[[], None]) -> None:
        """Call at the end of the batch. What is put off at its end waits for the loop's next turn."""
        if self._held is None:
            self._call_soon(callback)
        else:
            self._held.append(callback)

    def begin(self) -> None:
        """A batch begins: entries of one channel leave together."""
        self._held = []

    def end(self) -> None:
        """It is delivered."""
        held, self._held = self._held, None
        for callback in held or ():
            try:
                callback()
            except Exception:  # as in the loop, whatever it is: the others go on
                log.exception("callback_failed")
