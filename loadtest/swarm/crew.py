"""What all users of one process share: the target, the ledger, and what is known of bytes that came before."""

from __future__ import annotations

import itertools
import os
import uuid
from argparse import Namespace
from typing import Any

import gevent
from gevent.pool import Pool
from locust.env import Environment

from loadtest.swarm import chunks, target
from loadtest.swarm.backend import CONNECTIONS, Backend
from loadtest.swarm.blocks import from_blocks
from loadtest.swarm.ledger import Ledger


class Crew:
    """One process' users."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._backend: Backend | None = None
        self._numbers = itertools.count()
        # Workers' users must differ: a user may have a hundred connections.
        self._mark = f"{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.ledger = Ledger(environment)
        self.frames = chunks.Reader(chunks.from_frames)
        self.blocks = chunks.Reader(from_blocks)
        self.posting = Pool(CONNECTIONS)
        gevent.spawn(self.ledger.run)

    @property
    def options(self) -> Namespace:
        """Options as they are now: a worker's come from its master when a run begins."""
        given: Namespace | None = self._environment.parsed_options
        assert given is not None
        return given

    @property
    def backend(self) -> Backend:
        """The back end of the target. Raises TargetError when there is no target."""
        if self._backend is None:
            self._backend = Backend(self._target())
        return self._backend

    def anew(self) -> None:
        """A run begins: host and options may be others."""
        self._backend = None

    def number(self) -> int:
        """A number that no other user of this process has."""
        return next(self._numbers)

    def name(self, number: int) -> str:
        """A user's name, which nobody in the whole load shares."""
        return f"load-{self._mark}-{number}"

    def _target(self) -> target.Target:
        given: dict[str, Any] = vars(self.options)
        return target.find(
            host=self._environment.host or given["host"],
            client_id=given["client_id"],
            secret=given["client_secret"],
            secret_file=given["client_secret_file"],
        )
