"""A page of members as the fields of an answer, the same over sockets and HTTP."""

from __future__ import annotations

from typing import Any

import msgspec

from services.kernel.broker.port import Members


def members_fields(page: Members) -> dict[str, Any]:
    """`members` ({user, connection, info, since}), `count`, `users` and `cursor` (None at the end)."""
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
