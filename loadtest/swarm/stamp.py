"""What load clients publish: JSON objects that carry the time at which they were sent."""

from __future__ import annotations

import re
import time

SENT = re.compile(rb'"sent":(\d+)')
"""Finds the time in a message, whatever envelope is around it."""


def now() -> int:
    """Microseconds of the wall clock: workers may run on machines that share no other."""
    return time.time_ns() // 1000


def body(size: int) -> bytes:
    """A JSON object of `size` bytes or a little more, sent now."""
    head = b'{"sent":%d,"pad":"' % now()
    return head + b"x" * (size - len(head) - 2) + b'"}'
