"""The protocol in MessagePack: the same fields, but data that holds bytes keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from services.kernel.domain import data as rule
from services.kernel.domain import packed
from services.kernel.domain.publications import Kind, Publication
from services.kernel.protocol.codec import Json
from services.kernel.protocol.decoding import Decoding
from services.kernel.protocol.replies import Replies
from services.kernel.protocol.wire import Wire


def _embed(value: object) -> Any:
    if isinstance(value, Json):
        return msgspec.json.decode(value.text)
    raise TypeError(f"an event cannot hold {type(value).__name__}")


_DECODING = Decoding(
    "MessagePack",
    decoder=msgspec.msgpack.Decoder(Wire),
    read=msgspec.msgpack.decode,
    check=rule.check_msgpack,
    leading=packed.leading,
    depth=packed.depth,
)
_ENCODER = msgspec.msgpack.Encoder(enc_hook=_embed)


def _data(data: bytes, kind: Kind) -> Any:
    if kind is Kind.JSON:
        return msgspec.json.decode(data)
    return data if kind is Kind.BINARY else msgspec.Raw(data)


def _body(publication: Publication) -> dict[str, Any]:
    """A publication's fields: offset (unless ephemeral), meta, data."""
    fields = {"offset": publication.offset} if publication.offset else {}
    fields.update(_object(publication.meta))
    fields["data"] = _data(publication.data, publication.kind)
    return fields


def _object(fragment: bytes) -> dict[str, Any]:
    return msgspec.json.decode(b"{%b}" % fragment, type=dict[str, Any])


class MsgpackCodec(Replies):
    """Events and commands as MessagePack."""

    name = "msgpack"
    binary = True
    decoding = _DECODING

    def event(self, type: str, fields: Mapping[str, Any]) -> bytes:
        """See Codec."""
        return _ENCODER.encode({"type": type, **fields})

    def message(self, channel: str, publication: Publication, *, skipped: int = 0) -> bytes:
        """See Codec."""
        if skipped:
            fields = {"channel": channel, **_body(publication), "skipped": skipped}
            return self.event("message", fields)
        frame = publication.frames.get(self.name)
        if frame is None:
            frame = self.event("message", {"channel": channel, **_body(publication)})
            publication.frames[self.name] = frame
        return frame

    def direct(self, data: bytes, *, kind: Kind, ts: int) -> bytes:
        """See Codec."""
        return self.event("direct", {"data": _data(data, kind), "ts": ts})

    def signal(self, type: str, channel: str, fragment: bytes) -> bytes:
        """See Codec."""
        return self.event(type, {"channel": channel, **_object(fragment)})

    def array(self, publications: Iterable[Publication]) -> Any:
        """See Replies."""
        return [_body(publication) for publication in publications]


CODEC = MsgpackCodec()
