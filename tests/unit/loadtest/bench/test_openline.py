"""Starting a system for a measurement: an interrupt comes through, whenever it comes."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

from loadtest.bench.openline import before_exec, interrupts_wait


@pytest.fixture
def hears_interrupts() -> Iterator[None]:
    """Also where the tests were started in the background, with interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_is_raised_once_the_child_is_there(hears_interrupts: None) -> None:
    happened = []
    try:
        with interrupts_wait():
            # To this thread: another one, that a test before has left, would take it at once.
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            happened.append("block ended")
    except KeyboardInterrupt:
        happened.append("interrupted")
    assert happened == ["block ended", "interrupted"]


def test_the_child_hears_interrupts() -> None:
    with interrupts_wait():
        child = subprocess.Popen(["sleep", "60"], preexec_fn=before_exec)
    try:
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == -signal.SIGTERM
    finally:
        child.kill()
        child.wait()
