"""Acks, errors and pongs: events whose fields are the same in every encoding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from services.kernel.domain.codes import OpenlineError
from services.kernel.protocol.commands import Id


def with_id(id: Id, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with the command's id first, if it had one."""
    return dict(fields) if id is None else {"id": id, **fields}


def error_fields(error: OpenlineError) -> dict[str, Any]:
    """`code`, `message`, `temporary` and, where known, `retry_after` in seconds, rounded up to a millisecond."""
    fields: dict[str, Any] = {
        "code": error.code.value,
        "message": error.message,
        "temporary": error.temporary,
    }
    if error.retry_after is not None:
        fields["retry_after"] = math.ceil(error.retry_after * 1000) / 1000
    return fields


class Replies:
    """What codecs have in common: replies are events, named by the id of the command that they answer."""

    __slots__ = ()

    def event(self, type: str, fields: Mapping[str, Any]) -> bytes:
        """See Codec."""
        raise NotImplementedError

    def ack(self, id: Id, fields: Mapping[str, Any]) -> bytes:
        """See Codec."""
        return self.event("ack", with_id(id, fields))

    def error(self, id: Id, error: OpenlineError) -> bytes:
        """See Codec."""
        return self.event("error", with_id(id, error_fields(error)))

    def pong(self, id: Id) -> bytes:
        """See Codec."""
        return self.event("pong", with_id(id, {}))
