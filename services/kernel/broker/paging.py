"""Pages of names: cursors handed to clients: a name after which the next page begins, wrapped so that nobody takes it for more."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from services.kernel.broker.port import Members
from services.kernel.domain.codes import Code, OpenlineError

PATTERN = "^(c([0-7][0-9a-f])*)?$"
"""All cursors of names in ASCII, as ours are, and nothing that would be refused; an empty one is none."""

_WRAPPED = re.compile(r"c((?:[0-9a-f]{2})*)\Z")


def wrap(name: str) -> str:
    """The cursor of a page that ended with this name."""
    return "c" + name.encode().hex()


def unwrap(cursor: str | None) -> str:
    """The name in a cursor; empty for none. Raises `bad_request` for what cannot have been handed out."""
    if not cursor:
        return ""
    matched = _WRAPPED.match(cursor)
    try:
        if matched:
            return bytes.fromhex(matched[1]).decode()
    except UnicodeDecodeError:
        pass
    raise OpenlineError(Code.BAD_REQUEST, "cursor must be one that an earlier page returned")


def members_fields(page: Members) -> dict[str, Any]:
    """A page of members as the fields of an answer, the same over sockets and HTTP.

    `members` ({user, connection, info, since}), `count`, `users` and `cursor` (None at the end).
    """
    return {
        "members": [
            {
                "user": member.user,
                "connection": member.connection,
                "info": msgspec.json.decode(member.info) if member.info else None,
                "since": member.since,
            }
            for member in page.members
        ],
        "count": page.count,
        "users": page.users,
        "cursor": page.cursor,
    }
