"""Commands of one connection that wait for the one before them."""

from __future__ import annotations

from collections import deque

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.protocol.commands import Command

MAX_WAITING = 1000
"""Commands that may wait; the rates keep honest clients far below."""

MAX_BYTES = 262_144
"""Bytes of waiting commands above which no more are read from the client."""


class CommandQueue:
    """A queue that knows how much came in since it began."""

    __slots__ = ("_bytes", "_commands")

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._commands)

    @property
    def first(self) -> Command:
        """The command that is next."""
        return self._commands[0]

    @property
    def is_heavy(self) -> bool:
        """Whether what comes next is better left in the client's own buffers."""
        return self._bytes > MAX_BYTES

    def put(self, command: Command, size: int) -> None:
        """Queue a command of this size in bytes. Raises `limit_exceeded` when too many wait."""
        self._bytes += size
        if len(self._commands) >= MAX_WAITING:
            raise OpenlineError(Code.LIMIT_EXCEEDED, f"more than {MAX_WAITING} commands wait")
        self._commands.append(command)

    def pop(self) -> Command:
        """Remove and return the next command."""
        return self._commands.popleft()
