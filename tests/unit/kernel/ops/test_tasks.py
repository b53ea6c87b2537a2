"""A background task that fails is logged and counted, and is started anew or ends its owner."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.ops.tasks import Calls, TaskFailures, Tasks
from tests.support.waiting import until


class Job:
    """Raises what it is given, one after the other; then waits for ever."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.waits = asyncio.Event()

    async def run(self):
        if self.errors:
            error = self.errors.pop(0)
            if error is None:
                return
            raise error
        self.waits.set()
        await asyncio.Event().wait()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def failures(registry):
    return TaskFailures("gateway", registry=registry)


def count(registry, task):
    return registry.get_sample_value("openline_gateway_task_failures_total", {"task": task})


async def test_a_task_that_fails_or_ends_is_reported_and_started_anew(registry, failures):
    job, tasks = Job(RuntimeError("uvloop"), None), Tasks(failures, pause=0)
    with capture_logs() as logs:
        tasks.start("probes", job.run)
        await asyncio.wait_for(job.waits.wait(), 5)
    assert count(registry, "probes") == 2
    assert [(line["event"], line["task"]) for line in logs] == [("task_failed", "probes")] * 2
    await tasks.close()


async def test_what_waiting_does_not_mend_ends_the_owner(registry, failures):
    ended = asyncio.get_running_loop().create_future()
    tasks = Tasks(failures, end=ended.set_result, pause=0)
    tasks.start("probes", Job(ConfigurationError("set maxmemory-policy noeviction")).run)
    assert await asyncio.wait_for(ended, 5) == "set maxmemory-policy noeviction"
    assert count(registry, "probes") == 1


async def test_closing_ends_every_task_and_counts_none(registry, failures):
    job, tasks = Job(), Tasks(failures)
    tasks.start("probes", job.run)
    await job.waits.wait()
    await tasks.close()
    assert (count(registry, "probes"), tasks._tasks) == (0, set())


async def test_a_watched_task_ends_its_group_and_is_named(registry, failures):
    async def serve():
        async with asyncio.TaskGroup() as group:
            group.create_task(failures.watch("ticks", Job(ValueError("x")).run()))
            group.create_task(failures.watch("reports", Job().run()))

    with capture_logs() as logs, pytest.raises(ExceptionGroup):
        await serve()
    assert [line["task"] for line in logs] == ["ticks"]
    assert (count(registry, "ticks"), count(registry, "reports")) == (1, None)


async def test_a_call_that_fails_is_reported_under_the_name_of_all(registry, failures):
    calls, job = Calls(failures, "call"), Job()
    calls.spawn(job.run())
    await asyncio.wait_for(job.waits.wait(), 5)
    with capture_logs() as logs:
        calls.spawn(Job(RuntimeError("no answer")).run())
        await until(lambda: len(calls) == 1)
    assert count(registry, "call") == 1
    assert [(line["event"], line["task"]) for line in logs] == [("task_failed", "call")]
    calls.cancel()
    await until(lambda: not calls)
    assert count(registry, "call") == 1
