"""Locust's users of Openline: `locust -f loadtest/locustfile.py --help`; docs/loadtest.md tells more."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

# Locust puts this file's folder on the path; the package is known by its full name, wherever Locust was started.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from loadtest.swarm import options, progress, report, shapes
from loadtest.swarm.crew import Crew
from loadtest.swarm.members import (
    Chatter,
    FeedReader,
    Listener,
    Member,
    Publisher,
    Returner,
    StreamReader,
    Ticker,
)
from loadtest.swarm.target import TargetError

__all__ = ["Chatter", "FeedReader", "Listener", "Publisher", "Returner", "StreamReader", "Ticker"]

_log = logging.getLogger("openline.load")
_began = time.monotonic()


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust's
def _add_options(parser: LocustArgumentParser) -> None:
    options.add(parser)


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust's
def _init(environment: Environment, **_: Any) -> None:
    Member.crew = Crew(environment)
    shapes.shape(environment)
    asked = environment.parsed_options
    if asked is not None and asked.headless and not (asked.worker or asked.master):
        _check(environment)


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # Locust's
def _start(environment: Environment, **_: Any) -> None:
    global _began  # noqa: PLW0603
    _began = time.monotonic()
    Member.crew.anew()
    # Behind the page, what is wrong shows as failures, and the page stays; a master may hold no secret.
    if environment.web_ui is None and not isinstance(environment.runner, MasterRunner):
        _check(environment)
    if environment.web_ui is None and not isinstance(environment.runner, WorkerRunner):
        gevent.spawn(progress.run, environment)


def _check(environment: Environment) -> None:
    """End at once when the target cannot be loaded."""
    try:
        Member.crew.backend.check()
    except TargetError as error:
        _log.error("%s", error)
        environment.process_exit_code = 2
        sys.exit(2)


@events.quitting.add_listener  # type: ignore[untyped-decorator]  # Locust's
def _quit(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner) or environment.process_exit_code:
        return
    Member.crew.ledger.flush()
    if environment.web_ui is not None and not environment.stats.num_requests:
        return  # nobody began a run
    text, reasons = report.write(environment, length=time.monotonic() - _began)
    sys.stdout.write(text)
    environment.process_exit_code = 1 if reasons else 0
