"""Pending `echo: false` publishes of one connection, each acked where its message stands in the channel (rule 8)."""

from __future__ import annotations

from enum import Enum, auto

from services.kernel.broker.port import Published
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.protocol.commands import Id

MAX_ECHOES = 500
"""Publishes of a connection that may wait for their delivery."""


class Echo:
    """One publish. `result` is set when the store answered before the hub delivered.

    `acked`: it was acked ahead of its delivery, which may never come; it is kept to be withheld if it does.
    """

    __slots__ = ("acked", "channel", "command", "result")

    def __init__(self, channel: str, command: Id) -> None:
        self.channel = channel
        self.command = command
        self.result: Published | None = None
        self.acked = False


class Verdict(Enum):
    """What becomes of a publish that the store has answered."""

    ACK = auto()
    WAIT = auto()
    LOOK_AGAIN = auto()
    """Its first sender's token will come, not this one: look later whether it has."""


class Echoes:
    """The publishes by their tokens. Pure: what the channel's listeners have been given is an argument."""

    __slots__ = ("_pending", "_serial")

    def __init__(self) -> None:
        self._pending: dict[str, Echo] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, token: str) -> bool:
        return token in self._pending

    def token(self, connection: str) -> str:
        """A token for the next publish. Raises `rate_limited` when too many wait."""
        if len(self._pending) >= MAX_ECHOES:
            self._pending = {t: echo for t, echo in self._pending.items() if not echo.acked}
        if len(self._pending) >= MAX_ECHOES:
            raise OpenlineError(
                Code.RATE_LIMITED,
                f"{MAX_ECHOES} publishes with echo false wait for their delivery",
                retry_after=1,
            )
        self._serial += 1
        return f"{connection}.{self._serial}"

    def add(self, token: str, *, channel: str, command: Id) -> None:
        """A publish is under way."""
        self._pending[token] = Echo(channel, command)

    def remove(self, token: str) -> Echo | None:
        """Its message has come, or never will; None when it is not pending any more."""
        return self._pending.pop(token, None)

    def stored(self, token: str, result: Published) -> Echo | None:
        """The store has answered; None when the message came first and was acked with it."""
        echo = self._pending.get(token)
        if echo is not None:
            echo.result = result
        return echo

    def confirm(self, token: str, position: Position | None) -> Verdict:
        """What to do now that the store has answered: ack where nothing will come to take the message's place.

        `position` is what the channel's listeners were given; None for a session that has unsubscribed.
        """
        echo = self._pending.get(token)
        if echo is None or echo.result is None or echo.acked:
            return Verdict.WAIT
        result = echo.result
        if position is None or (result.offset and covers(position, result)):
            del self._pending[token]
            return Verdict.ACK
        if not result.offset or result.epoch != position.epoch:
            # Its delivery may never come: it is ephemeral, or a reset has come or will.
            echo.acked = True
            return Verdict.ACK
        return Verdict.LOOK_AGAIN if result.duplicate else Verdict.WAIT

    def flush(self, channel: str, position: Position | None) -> list[tuple[Id, Published]]:
        """What the store has answered and is to be acked now, before a channel ends or jumps to `position`.

        What may still come behind `position` is withheld then.
        """
        acks: list[tuple[Id, Published]] = []
        for token, echo in list(self._pending.items()):
            result = echo.result
            if echo.channel != channel or result is None:
                continue
            if not echo.acked:
                echo.acked = True
                acks.append((echo.command, result))
            if position is None or covers(position, result):
                del self._pending[token]
        return acks


def covers(position: Position, result: Published) -> bool:
    """Whether a listener at this position has received the publication, or will not get it."""
    return result.epoch == position.epoch and result.offset <= position.offset
