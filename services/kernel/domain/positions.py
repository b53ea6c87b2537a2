"""A place in a channel's history.

Why an epoch: offsets count publications, and a broker that lost its data would count again from 1. A reader at offset
5 that meets a new history which has reached 7 would take 6 and 7 and believe that it missed nothing. The epoch names
the history that is being counted, so the reader sees that its 5 belongs to another one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from services.kernel.domain.codes import Code, OpenlineError

EPOCH = re.compile(r"[A-Za-z0-9]{1,32}\Z")
MAX_OFFSET = 2**63 - 1
_DIGITS = re.compile(r"(0|[1-9][0-9]{0,18})\Z")


class Position(NamedTuple):
    """`offset` publications of the history named `epoch` have been seen; the next is `offset + 1`."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"


def make(epoch: object, offset: object) -> Position:
    """A position from untrusted values. Raises `bad_request` naming the part that is wrong."""
    if not isinstance(epoch, str) or not EPOCH.match(epoch):
        raise OpenlineError(Code.BAD_REQUEST, "a position's epoch is 1-32 letters and digits")
    if isinstance(offset, bool) or not isinstance(offset, int) or not 0 <= offset <= MAX_OFFSET:
        raise OpenlineError(Code.BAD_REQUEST, "a position's offset is an integer from 0 to 2^63-1")
    return Position(epoch, offset)


def parse(text: str) -> Position:
    """A position as written in a query, `epoch:offset`. Raises `bad_request`."""
    epoch, colon, digits = text.partition(":")
    if not colon or not _DIGITS.match(digits):
        raise OpenlineError(
            Code.BAD_REQUEST, "a position is written epoch:offset, for example 3kQz81:42"
        )
    return make(epoch, int(digits))
