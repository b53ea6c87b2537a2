"""Pending `echo: false` publishes of one connection, each acked where its message stands in the channel (rule 8)."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from services.kernel.broker.port import Published
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.protocol.commands import Id

MAX_ECHOES = 500
"""Publishes of a connection that may wait for their delivery."""

MAX_LOOKS = 40
"""How often is looked whether a reset names the epoch of a duplicate. It may be a past one, which none names."""


class Echo:
    """One publish. `result` is set when the store answered before the hub delivered.

    `epoch` is the channel's when it was sent, `looks` how often was looked for its reset. `acked`: it was acked ahead of
    its delivery, which may never come; it is kept to be withheld if it does.
    """

    __slots__ = ("acked", "channel", "command", "epoch", "looks", "result")

    def __init__(self, channel: str, command: Id, epoch: str) -> None:
        self.channel = channel
        self.command = command
        self.epoch = epoch
        self.result: Published | None = None
        self.acked = False
        self.looks = 0


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

    def add(self, token: str, *, channel: str, command: Id, position: Position | None) -> None:
        """A publish is under way; `position` is what the channel's listeners were given until now."""
        self._pending[token] = Echo(channel, command, position.epoch if position else "")

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
        elsewhere = bool(result.offset) and result.epoch != position.epoch
        if elsewhere and position.epoch == echo.epoch:
            # For the reset that names its epoch: an ack before it would be a place nobody knows.
            if not result.duplicate:
                return Verdict.WAIT
            echo.looks += 1
            if echo.looks < MAX_LOOKS:
                return Verdict.LOOK_AGAIN
        if not result.offset or elsewhere:
            # Its delivery may never come: it is ephemeral, a reset has come meanwhile, or its epoch has passed.
            echo.acked = True
            return Verdict.ACK
        return Verdict.LOOK_AGAIN if result.duplicate else Verdict.WAIT

    def flush(self, channel: str) -> list[tuple[Id, Published]]:
        """What the store has answered and is to be acked now, before a channel ends."""
        return self._answered(channel, lambda _: True)

    def jump(
        self, channel: str, position: Position
    ) -> tuple[list[tuple[Id, Published]], list[tuple[Id, Published]]]:
        """What is to be acked before the reset of a channel to `position`, and what behind it.

        What lies in the new epoch comes behind, since only the reset names that one. What is beyond `position` waits for
        its place in the channel.
        """
        before = self._answered(channel, lambda result: result.epoch != position.epoch)
        return before, self._answered(channel, lambda result: covers(position, result))

    def _answered(
        self, channel: str, wanted: Callable[[Published], bool]
    ) -> list[tuple[Id, Published]]:
        acks: list[tuple[Id, Published]] = []
        for token, echo in list(self._pending.items()):
            result = echo.result
            if echo.channel != channel or result is None or not wanted(result):
                continue
            del self._pending[token]
            if not echo.acked:
                acks.append((echo.command, result))
        return acks


def covers(position: Position, result: Published) -> bool:
    """Whether a listener at this position has received the publication, or will not get it."""
    return result.epoch == position.epoch and result.offset <= position.offset
