"""docs/recipes/celery.md, run as it stands, with a worker on the broker in memory."""

from __future__ import annotations

import pytest
from celery.contrib.testing.worker import start_worker

from openline import Publisher
from tests.support.faulty_front import faulty_front
from tests.support.recipes import environment, module
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.clients


def test_a_task_that_fails_after_it_has_stored_is_retried_and_stores_once(
    stack: Stack, monkeypatch
):
    with faulty_front(stack.url) as front, Publisher(**arguments(stack)) as reader:
        for name, value in environment(stack, front.url).items():
            monkeypatch.setenv(name, value)
        before = reader.history("notify:orders").offset
        with module("celery.md", ("Celery", 0), name="shop_celery") as shop:
            # Each of the publisher's own tries fails, so the task has to be run again.
            front.faults.extend(["503 after"] * 4)
            with start_worker(shop.app, pool="solo", perform_ping_check=False):
                task = shop.order_shipped.delay(7)
                wait_until(lambda: len(front.published()) >= 5, timeout=60)
            shop.publisher().close()
        messages = [
            m for m in reader.history("notify:orders", limit=500).messages if m.offset > before
        ]
        assert [(m.data, m.key) for m in messages] == [({"shipped": 7}, task.id)]


def arguments(stack: Stack) -> dict[str, str]:
    found = environment(stack)
    return {name.removeprefix("OPENLINE_").lower(): value for name, value in found.items()}
