"""A publication as it is stored and carried: its data as bytes, ready to be spliced into envelopes."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """How a publication's data bytes are to be read."""

    JSON = 0  # compact JSON text without line breaks
    BINARY = 1  # raw bytes
    MSGPACK = (
        2  # MessagePack that holds bytes somewhere inside, so that JSON alone could not carry it
    )


class Publication:
    """One publication of a channel's history, or an ephemeral one (`offset` 0).

    `data` is the data in the form `kind` says. `meta` is a JSON fragment without braces, such as
    `"from":"bob","ts":1700000000000`, spliced into every JSON envelope as it stands. `token` names the pending
    `echo: false` publish that sent it (`<connection>.<counter>`), or is empty.
    `frames` caches what codecs made of it, by codec: each codec encodes a publication once.
    """

    __slots__ = ("data", "epoch", "frames", "kind", "meta", "offset", "token")

    def __init__(
        self,
        *,
        epoch: str,
        offset: int,
        data: bytes,
        meta: bytes,
        kind: Kind = Kind.JSON,
        token: str = "",
    ) -> None:
        self.epoch = epoch
        self.offset = offset
        self.data = data
        self.meta = meta
        self.kind = kind
        self.token = token
        self.frames: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"Publication({self.epoch}:{self.offset}, {len(self.data)} bytes)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Publication):
            return NotImplemented
        mine = (self.epoch, self.offset, self.kind, self.data, self.meta, self.token)
        return mine == (
            other.epoch,
            other.offset,
            other.kind,
            other.data,
            other.meta,
            other.token,
        )

    __hash__ = None  # type: ignore[assignment]
