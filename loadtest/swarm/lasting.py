"""A connection that is opened again whenever it ends, as every client should do it."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol

import gevent

from loadtest.bench.frames import FrameError
from loadtest.swarm.audit import Audit
from loadtest.swarm.chunks import Chunk, Other
from loadtest.swarm.crew import Crew
from loadtest.swarm.target import TargetError

_LONGEST = 8.0


class Connection(Protocol):
    """What carries bytes: see `Line`."""

    def read(self, took: Callable[[bytes], None]) -> None:
        """Hand over all bytes until the end. Raises OSError."""

    def leave(self) -> None:
        """Say farewell, if there is one."""

    def drop(self) -> None:
        """End it without a word, as a network does that fails."""

    def close(self) -> None:
        """Free the socket."""


class EndedError(OSError):
    """The server ended the connection; the message says how."""


class Lasting(ABC):
    """One client. `row` names its rows, `sub` the user whose token it has. Its work is done in a greenlet of its own."""

    kind: ClassVar[str]

    def __init__(self, crew: Crew, *, row: str, sub: str) -> None:
        self._crew = crew
        self._row = row
        self._sub = sub
        self._greenlet: gevent.Greenlet | None = None
        self._connection: Connection | None = None
        self._began = 0.0
        self._rest = b""
        self._in = False
        self._wanted = False
        self._away = 0.0
        self.token = ""
        self.audit = Audit(crew.ledger, kind=self.kind, name=row)

    @property
    def connected(self) -> bool:
        """Whether all channels are subscribed."""
        return self._connection is not None and self._in

    def start(self) -> None:
        """Connect, and go on connecting."""
        self._greenlet = gevent.spawn(self._live)

    def stop(self) -> None:
        """No more."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def drop(self, *, away: float = 0.0) -> None:
        """Lose the connection as a network does it, and come back after `away` seconds."""
        self._wanted = True
        self._away = away
        if self._connection is not None:
            self._connection.drop()

    @abstractmethod
    def _connect(self) -> Connection:
        """Open a connection that goes on from where the last one ended. Raises OSError."""

    @abstractmethod
    def _take(self, data: bytes) -> Chunk:
        """Take bytes apart."""

    @abstractmethod
    def _heard(self, other: Other) -> None:
        """An event that is no message. Raises EndedError."""

    def _joined(self) -> None:
        """All channels are there."""
        if not self._in:
            self._in = True
            self._crew.ledger.event(f"{self.kind} connect", self._row, began=self._began)

    def _ended(self) -> None:  # noqa: B027 - a stream has nobody who waits
        """The connection is gone; for those who wait for answers."""

    def _live(self) -> None:
        tries = 0
        while True:
            why = self._once()
            tries = 0 if self._in else tries + 1
            if self._wanted:
                self._wanted = False
                gevent.sleep(self._away)
                continue
            kind = f"{self.kind} {'close' if self._in else 'connect'}"
            self._crew.ledger.event(kind, self._row, began=self._began, error=why)
            gevent.sleep(random.random() * min(_LONGEST, 0.5 * 2**tries))  # noqa: S311 - jitter

    def _once(self) -> str:
        """One connection from its beginning to its end; why it ended."""
        self._began, self._in = time.perf_counter(), False
        try:
            self.token = self.token or self._crew.backend.mint(self._sub)
            self._connection = self._connect()
            self.audit.connected()
            self._rest = b""
            self._connection.read(self._took)
        except (OSError, FrameError, TargetError) as error:
            return str(error)
        except gevent.GreenletExit:
            if self._connection is not None:
                self._connection.leave()
            raise
        finally:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._ended()
        return "closed without a word"

    def _took(self, data: bytes) -> None:
        chunk = self._take(self._rest + data if self._rest else data)
        self._rest = chunk.rest
        self.audit.took(chunk, other=self._heard)
