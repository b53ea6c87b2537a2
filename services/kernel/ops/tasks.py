"""Background tasks by name: one that ends with an error is logged and counted, and ends or restarts its owner's work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.ops.refusal import refuse_now

PAUSE_SECONDS = 1.0
"""Between the failure of a task and its next start."""

log = structlog.get_logger(__name__)


class TaskFailures:
    """What failed, as `openline_SERVICE_task_failures_total` and as the log event `task_failed`."""

    def __init__(self, service: str, *, registry: CollectorRegistry = REGISTRY) -> None:
        self.counter = Counter(
            f"openline_{service}_task_failures",
            "Background tasks that ended with an error, by name",
            ["task"],
            registry=registry,
        )

    def expect(self, *names: str) -> None:
        """Create the series that alerts use with the value 0: `rate()` misses the first increment of a new series."""
        for name in names:
            self.counter.labels(name)

    def report(self, name: str, error: BaseException) -> None:
        """Log and count one failure."""
        self.counter.labels(name).inc()
        log.error("task_failed", task=name, error=repr(error), exc_info=error)

    async def watch(self, name: str, work: Awaitable[None]) -> None:
        """Await `work`; what it raises is reported and raised: it ends the owner, a TaskGroup for example."""
        try:
            await work
        except Exception as error:
            self.report(name, error)
            raise


class Calls:
    """Calls that run beside their caller, each to its end; what one raises is reported under `name`."""

    def __init__(self, failures: TaskFailures, name: str) -> None:
        self._failures = failures
        self._name = name
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, call: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start it; its task, for who may have to cancel it. Needs a running loop."""
        task = asyncio.get_running_loop().create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    def cancel(self) -> None:
        """Cancel those that are under way."""
        for task in list(self._tasks):
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failures.report(self._name, error)


class Tasks:
    """Tasks that run until `close`. One that fails is reported and restarted after a pause.

    A `ConfigurationError` says that waiting mends nothing: `end` gets its message, and ends the process by default.
    """

    def __init__(
        self,
        failures: TaskFailures,
        *,
        end: Callable[[str], object] = refuse_now,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._failures = failures
        self._end = end
        self._pause = pause
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run this until `close`. Needs a running loop."""
        self._failures.expect(name)
        task = asyncio.create_task(self._keep(name, run), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel all and wait for them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await run()
            except ConfigurationError as error:
                self._failures.report(name, error)
                self._end(str(error))
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the task must not be missing unseen
                self._failures.report(name, error)
            else:
                self._failures.report(name, RuntimeError("the task ended by itself"))
            await asyncio.sleep(self._pause)
