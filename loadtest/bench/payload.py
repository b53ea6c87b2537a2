"""What is published: JSON objects that carry a number and the time of the publish call."""

from __future__ import annotations

import re
import time

MARK = re.compile(rb'"seq":(\d+),"sent":(\d+)')
"""Finds number and time in a message, whatever envelope a server puts around it."""

SIZE = 128


def now() -> int:
    """Microseconds of the clock that all processes of this machine share and nobody sets."""
    return time.monotonic_ns() // 1000


def body(seq: int, *, size: int = SIZE) -> bytes:
    """A message of `size` bytes, sent now."""
    head = b'{"seq":%d,"sent":%d,"pad":"' % (seq, now())
    return head + b"x" * max(0, size - len(head) - 2) + b'"}'
