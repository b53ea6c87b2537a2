"""Whether nginx's workers leave is read of their titles; the order is given once for each that does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest

from deploy.local import leaving
from tests.support.waiting import wait_until

TITLE = "nginx: worker process is shutting down"


def children(*titles: str) -> str:
    """A program whose children have these titles; it says when they run."""
    starts = [f"subprocess.Popen([{title!r}, '60'], executable='sleep')" for title in titles]
    return f"import subprocess; {'; '.join(starts)}; print(flush=True); import time; time.sleep(60)"


@pytest.fixture
def nginx():
    """Starts a stand-in for nginx's master; the process ids of its children come from the kernel."""
    started = []

    def start(*titles: str) -> int:
        process = subprocess.Popen(
            [sys.executable, "-c", children(*titles)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        process.stdout.readline()
        return process.pid

    yield start
    for process in started:
        subprocess.run(["kill", "-9", "--", f"-{process.pid}"], check=True)
        process.wait()
        process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="titles are read of /proc")
def test_a_worker_that_leaves_says_so_in_its_title(nginx: Callable[..., int]) -> None:
    assert leaving.leaving(nginx("nginx: worker process")) == set()
    pid = nginx("nginx: worker process", TITLE)
    wait_until(
        lambda: len(leaving.leaving(pid)) == 1
    )  # a program has its title a moment after it began
    assert leaving.leaving(2**22 + 1) == set()


async def test_the_order_is_given_once_a_worker_and_again_until_it_is_taken(monkeypatch) -> None:
    workers = [set(), {1}, {1}, {1}, {1, 2}, {2}, set(), {3}]
    turns, orders, answers = iter(workers), [], iter([False, False, True, True, True])

    async def post(url: str) -> bool:
        orders.append(url)
        return next(answers)

    async def sleep(_: float) -> None: ...

    def found(_: int) -> set[int]:
        try:
            return next(turns)
        except StopIteration:
            raise asyncio.CancelledError from None

    monkeypatch.setattr(leaving, "leaving", found)
    monkeypatch.setattr(leaving.readiness, "post", post)
    monkeypatch.setattr(leaving.asyncio, "sleep", sleep)
    monkeypatch.setattr(leaving.socket, "gethostname", lambda: "Host")
    with pytest.raises(asyncio.CancelledError):
        await leaving.watch(lambda: 7, ["http://a", "http://b"], 5)
    path = "/proxies/host/move?seconds=5"
    # Neither takes it; the second does; then only new workers count.
    assert [url.removesuffix(path) for url in orders] == ["http://a", "http://b", "http://a"] + [
        "http://a"
    ] * 2
