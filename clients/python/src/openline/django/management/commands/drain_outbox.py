"""`manage.py drain_outbox`: publish what waits in the outbox, once or for ever."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, close_old_connections

from openline.django.models import OutboxMessage
from openline.django.publishing import publisher
from openline.errors import OpenlineError


class Command(BaseCommand):
    """Publish what waits in the outbox."""

    help = "Publish what waits in the outbox of Openline; with --every for ever, until SIGTERM or SIGINT."

    def add_arguments(self, parser: CommandParser) -> None:
        """Seconds between two looks, and the database."""
        parser.add_argument("--every", type=float, metavar="SECONDS", help="look again, for ever")
        parser.add_argument("--database", default="default", help="default: default")

    def handle(self, *, every: float | None, database: str, **_: Any) -> None:
        """Raises CommandError when the server cannot be reached and there is no --every."""
        outbox = OutboxMessage.objects.db_manager(database)
        if every is None:
            try:
                self.stdout.write(f"{outbox.drain(publisher())} published")
            except OpenlineError as error:
                raise CommandError(f"the outbox waits: {error}") from error
            return
        stop = _until_told()
        while not stop.is_set():
            try:
                if count := outbox.drain(publisher()):
                    self.stdout.write(f"{count} published")
            except (OpenlineError, OperationalError) as error:
                self.stderr.write(f"the outbox waits: {error}")
                close_old_connections()
            stop.wait(every)


def _until_told() -> threading.Event:
    """Set by SIGTERM and SIGINT, so that the round under way comes to its end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
