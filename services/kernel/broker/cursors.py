"""Cursors handed to clients: a name after which the next page begins, wrapped so that nobody takes it for more."""

from __future__ import annotations

import base64
import binascii

from services.kernel.domain.codes import Code, OpenlineError

_MARK = b"1:"


def wrap(name: str) -> str:
    """The cursor of a page that ended with this name."""
    return base64.urlsafe_b64encode(_MARK + name.encode()).decode().rstrip("=")


def unwrap(cursor: str | None) -> str:
    """The name in a cursor; empty for none. Raises `bad_request` for one that was never handed out."""
    if cursor is None:
        return ""
    try:
        raw = base64.b64decode(
            cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True
        )
        if raw.startswith(_MARK):
            return raw[len(_MARK) :].decode()
    except (binascii.Error, UnicodeError, ValueError):
        pass
    raise OpenlineError(Code.BAD_REQUEST, "cursor must be one that an earlier page returned")
