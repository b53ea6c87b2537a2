"""How a connection speaks: events as bytes that its connection writes as they are.

A publication is encoded once a wire format and kept on it, so a sweep over a thousand subscribers writes one and the same
bytes object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from services.gateway.hub.replay_budget import LARGE
from services.gateway.websocket import frames
from services.kernel.broker.port import EntryType
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication
from services.kernel.protocol import json_codec, msgpack_codec, plain, sse
from services.kernel.protocol.codec import Codec
from services.kernel.protocol.commands import Id
from services.kernel.protocol.replies import error_fields, with_id

SIGNALS = {EntryType.JOIN: "join", EntryType.LEAVE: "leave", EntryType.TYPING: "typing"}

RESET_WITHIN = 10
"""Seconds over which clients should spread their fetching of state after a reset."""


class WireFormat(Protocol):
    """What sessions and audiences say, ready to be written; empty bytes where the wire format has no word for it."""

    @property
    def name(self) -> str:
        """Under which `Publication.frames` keeps what this wire format made of it."""

    @property
    def numbers(self) -> bool:
        """Whether its messages have their offsets, so that `skipped` can say what was left out."""

    def message(self, channel: str, publication: Publication) -> bytes:
        """A publication; the same bytes object each time for the same one."""

    def replayed(self, channel: str, publication: Publication) -> bytes:
        """A publication for one that missed it: as `message`, but what is large is not kept for others."""

    def skipped(self, channel: str, publication: Publication, skipped: int) -> bytes:
        """A publication before which `skipped` others were left out."""

    def signal(self, event: str, channel: str, fragment: bytes) -> bytes:
        """Join, leave, count or typing, from a JSON fragment without braces."""

    def event(self, event: str, fields: Mapping[str, Any]) -> bytes:
        """Any other event."""

    def error(self, id: Id, error: OpenlineError) -> bytes:
        """A refusal."""


def reset(
    wire_format: WireFormat, channel: str, position: Position, *, began: int, reason: str
) -> bytes:
    """The event that says where a channel goes on whose continuity was lost."""
    fields = {
        "channel": channel,
        "epoch": position.epoch,
        "offset": position.offset,
        "began": began,
        "reason": reason,
        "within": RESET_WITHIN,
    }
    return wire_format.event("reset", fields)


class Framed:
    """a wire format over WebSocket: a codec's payloads, each in a frame."""

    __slots__ = ("codec", "frame", "name")

    numbers = True

    def __init__(self, codec: Codec) -> None:
        self.name = f"ws.{codec.name}"
        self.codec = codec
        self.frame: Callable[[bytes], bytes] = (
            frames.binary_frame if codec.binary else frames.text_frame
        )

    def message(self, channel: str, publication: Publication) -> bytes:
        """See WireFormat."""
        frame = publication.frames.get(self.name)
        if frame is None:
            frame = self.frame(self.codec.message(channel, publication))
            publication.frames[self.name] = frame
        return frame

    def replayed(self, channel: str, publication: Publication) -> bytes:
        """See WireFormat."""
        if len(publication.data) < LARGE or self.name in publication.frames:
            return self.message(channel, publication)
        return self.frame(self.codec.message(channel, publication))

    def skipped(self, channel: str, publication: Publication, skipped: int) -> bytes:
        """See WireFormat."""
        return self.frame(self.codec.message(channel, publication, skipped=skipped))

    def signal(self, event: str, channel: str, fragment: bytes) -> bytes:
        """See WireFormat."""
        return self.frame(self.codec.signal(event, channel, fragment))

    def event(self, event: str, fields: Mapping[str, Any]) -> bytes:
        """See WireFormat."""
        return self.frame(self.codec.event(event, fields))

    def error(self, id: Id, error: OpenlineError) -> bytes:
        """See WireFormat."""
        return self.frame(self.codec.error(id, error))


class Streamed(Framed):
    """The native protocol on an HTTP response: each event a line, and an empty one."""

    __slots__ = ()

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec)
        self.name = f"http.{codec.name}"
        self.frame = sse.data


class Notifications(Framed):
    """The wire format of `/ws/notify`: each notification as it was published, and `reset`; nothing else."""

    __slots__ = ()

    numbers = False

    def signal(self, event: str, channel: str, fragment: bytes) -> bytes:  # noqa: ARG002
        """Nothing: presence is not spoken of here."""
        return b""

    def event(self, event: str, fields: Mapping[str, Any]) -> bytes:
        """Only `reset`."""
        return super().event(event, fields) if event == "reset" else b""

    def error(self, id: Id, error: OpenlineError) -> bytes:  # noqa: ARG002
        """Nothing."""
        return b""


class Blocks:
    """The wire format of `/sse`: event blocks with the native JSON. Ids are the session's: they name all its channels."""

    __slots__ = ()

    name = "sse"
    numbers = True

    def message(self, channel: str, publication: Publication) -> bytes:
        """See WireFormat; without an id."""
        block = publication.frames.get(self.name)
        if block is None:
            block = sse.block("message", json_codec.CODEC.message(channel, publication))
            publication.frames[self.name] = block
        return block

    def replayed(self, channel: str, publication: Publication) -> bytes:
        """See WireFormat; without an id."""
        if len(publication.data) < LARGE or self.name in publication.frames:
            return self.message(channel, publication)
        return sse.block("message", json_codec.CODEC.message(channel, publication))

    def skipped(self, channel: str, publication: Publication, skipped: int) -> bytes:
        """See WireFormat; without an id."""
        text = json_codec.CODEC.message(channel, publication, skipped=skipped)
        return sse.block("message", text)

    def signal(self, event: str, channel: str, fragment: bytes) -> bytes:
        """See WireFormat."""
        return sse.block(event, json_codec.CODEC.signal(event, channel, fragment))

    def event(self, event: str, fields: Mapping[str, Any]) -> bytes:
        """See WireFormat."""
        return sse.block(event, json_codec.CODEC.event(event, fields))

    def error(self, id: Id, error: OpenlineError) -> bytes:
        """As `event: problem`: `error` is EventSource's own word for a broken connection."""
        fields = with_id(id, error_fields(error))
        return sse.block("problem", json_codec.CODEC.event("problem", fields))


JSON = Framed(json_codec.CODEC)
STREAMED = Streamed(json_codec.CODEC)
MSGPACK = Framed(msgpack_codec.CODEC)
# A room's codec knows its channel only to decode; what is said in a room is the same in all of them.
ROOM = Framed(plain.RoomCodec("room:any"))
NOTIFY = Notifications(plain.NotifyCodec())
SSE = Blocks()
