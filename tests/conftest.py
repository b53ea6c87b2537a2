"""What holds for all tests.

Continuous integration tries the same examples each time, so that a red run is a change's doing and can be repeated;
a developer's machine tries new ones, and keeps those that failed. `--hypothesis-profile quick` tries a tenth of them, as
`make unit` and `make test` do; `make test-slow` tries all.
"""

from __future__ import annotations

import faulthandler
import functools
import gc
import importlib.util
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from _pytest.faulthandler import fault_handler_stderr_fd_key
from hypothesis import HealthCheck, settings

# A busy machine is no failure of what is tested.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("patient", patient)
settings.register_profile("ci", patient, derandomize=True, database=None, print_blob=True)
usual = "ci" if os.environ.get("CI") else "patient"
settings.register_profile("quick", settings.get_profile(usual), max_examples=10)
settings.load_profile(usual)

# By default a logged exception is painted with the locals of each frame, for 150 ms of CPU.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

# What drives the client packages imports what their lock alone installs (`make clients`).
collect_ignore = [] if importlib.util.find_spec("celery") else ["clients"]

MARKS_OF_FILE = re.compile(r"^pytestmark = (\[[^\]]*\]|.*)", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file whose mark is left out (`-m "not docker"`) is not imported: each worker would spend seconds on all of them."""
    if not collection_path.match("test_*.py"):
        return None
    marks = MARKS_OF_FILE.search(collection_path.read_text("utf-8"))
    left_out = re.findall(r"\bnot (\w+)", config.option.markexpr)
    return True if marks and set(re.findall(r"mark\.(\w+)", marks[1])) & set(left_out) else None


# Thousands of collected tests are looked through at each full collection of garbage: an eighth of the time of unit tests.
gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish() -> None:
    """Whatever is there before the first test stays to the end; to look for garbage in it costs more than the garbage."""
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """A worker of pytest-xdist says of each test that it passed, and no more: six messages a test are a fifth of all CPU.

    What failed, was skipped or warned is sent whole. Beside `sendevent` nothing of xdist is relied on; without it, all
    is sent as before.
    """
    for worker in config.pluginmanager.get_plugins():
        if hasattr(config, "workerinput") and hasattr(worker, "sendevent"):
            worker.sendevent = functools.partial(_send_what_is_shown, worker.sendevent)


def _send_what_is_shown(send: Callable[..., None], event: str, **content: Any) -> None:
    report = content["data"] if event == "testreport" else {}
    passed = report.get("outcome") == "passed"
    if event in ("logstart", "logfinish") or (passed and report["when"] != "call"):
        return
    if passed:
        report.update(keywords={}, sections=[])
    send(event, **content)


_alarm_set = float("-inf")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """What the time limit of a test cannot end, as a teardown that waits for ever, says where it stands and ends its process.

    pytest's own alarm (`faulthandler_timeout`) starts and joins a thread in each test, for milliseconds on busy cores.
    """
    global _alarm_set  # noqa: PLW0603 - one for the process, as the alarm is
    if time.monotonic() - _alarm_set > 60:
        _alarm_set = time.monotonic()
        faulthandler.dump_traceback_later(
            900, exit=True, file=item.config.stash[fault_handler_stderr_fd_key]
        )


# Each client of httpx2 reads the authorities of the system anew, for 30 ms of CPU; one reading is enough for all tests of
# a process, which speak TLS with nobody.
_default = httpx2._transports.default
_default.create_ssl_context = functools.cache(_default.create_ssl_context)

# Who says nothing of a time limit waits for 30 s instead of 5: a busy machine is no failure of what answers.
for _phase in ("connect", "read", "write", "pool"):
    setattr(httpx2._config.DEFAULT_TIMEOUT_CONFIG, _phase, 30.0)
