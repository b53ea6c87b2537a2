"""What is the same in every encoding: how commands are read, and the fields of acks, errors and pongs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.publications import Publication
from services.kernel.protocol.commands import Command, Id
from services.kernel.protocol.decoding import Decoding
from services.kernel.protocol.wire import Wire


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


class Replies(ABC):
    """What codecs have in common: replies are events, named by the id of the command that they answer.

    `decoding` reads the codec's encoding.
    """

    __slots__ = ()
    decoding: ClassVar[Decoding]

    def read(self, data: bytes) -> Wire:
        """See Codec."""
        return self.decoding.read(data)

    def command(self, wire: Wire) -> Command:
        """See Codec."""
        return self.decoding.command(wire)

    def id(self, data: bytes) -> Id:
        """See Codec."""
        return self.decoding.id(data)

    @abstractmethod
    def array(self, publications: Iterable[Publication]) -> Any:
        """Publications as the value of a field."""

    def history(
        self,
        id: Id,
        channel: str,
        publications: Iterable[Publication],
        *,
        epoch: str,
        offset: int,
        more: bool,
    ) -> bytes:
        """See Codec."""
        fields = {"channel": channel, "messages": self.array(publications)}
        return self.ack(id, {**fields, "epoch": epoch, "offset": offset, "more": more})

    @abstractmethod
    def event(self, type: str, fields: Mapping[str, Any]) -> bytes:
        """See Codec."""

    def ack(self, id: Id, fields: Mapping[str, Any]) -> bytes:
        """See Codec."""
        return self.event("ack", with_id(id, fields))

    def error(self, id: Id, error: OpenlineError) -> bytes:
        """See Codec."""
        return self.event("error", with_id(id, error_fields(error)))

    def pong(self, id: Id) -> bytes:
        """See Codec."""
        return self.event("pong", with_id(id, {}))
