"""The protocol in JSON: one object a text message. What repeats for every reader is spliced, not encoded again."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from services.kernel.domain import data as rule
from services.kernel.domain import nesting
from services.kernel.domain.publications import Kind, Publication
from services.kernel.protocol.codec import Json
from services.kernel.protocol.decoding import Decoding
from services.kernel.protocol.replies import Replies
from services.kernel.protocol.wire import Wire

_LEADING = re.compile(
    rb'\s*\{(?:\s*"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[-+.0-9eE]+|true|false|null)\s*,){0,16}+'
)


def _leading(raw: bytes) -> bytes:
    """The members of an object before the first that is more than a plain scalar, as an object; empty if it is none."""
    found = _LEADING.match(raw)
    return found.group().removesuffix(b",") + b"}" if found else b""


def _check(raw: bytes) -> tuple[Kind, bytes]:
    return Kind.JSON, rule.check_json(raw)


def _embed(value: object) -> msgspec.Raw:
    if isinstance(value, Json):
        return msgspec.Raw(value.text)
    raise TypeError(f"an event cannot hold {type(value).__name__}")


_DECODING = Decoding(
    "JSON",
    decoder=msgspec.json.Decoder(Wire),
    read=msgspec.json.decode,
    check=_check,
    leading=_leading,
    depth=nesting.depth,
)
_ENCODER = msgspec.json.Encoder(enc_hook=_embed)


def data_fields(data: bytes, kind: Kind) -> bytes:
    """`"data":...` as JSON, and `"encoding":"base64"` beside it when the data is bytes."""
    if kind is Kind.JSON:
        return b'"data":' + data
    if kind is Kind.BINARY:
        return b'"data":"' + b64encode(data) + b'","encoding":"base64"'
    return b'"data":' + msgspec.json.encode(msgspec.msgpack.decode(data))


def body(publication: Publication) -> bytes:
    """A publication's fields as a JSON fragment without braces: offset (unless ephemeral), meta, data, encoding."""
    data, meta = publication.data, publication.meta
    data = (
        b'"data":' + data if publication.kind is Kind.JSON else data_fields(data, publication.kind)
    )
    if meta:
        data = b"%b,%b" % (meta, data)
    return b'"offset":%d,%b' % (publication.offset, data) if publication.offset else data


def messages(publications: Iterable[Publication]) -> bytes:
    """The JSON array of publications that answers a call for history."""
    return b"[" + b",".join(b"{%b}" % body(publication) for publication in publications) + b"]"


class JsonCodec(Replies):
    """Events and commands as JSON text."""

    name = "json"
    binary = False
    decoding = _DECODING

    def event(self, type: str, fields: Mapping[str, Any]) -> bytes:
        """See Codec."""
        return _ENCODER.encode({"type": type, **fields})

    def message(self, channel: str, publication: Publication, *, skipped: int = 0) -> bytes:
        """See Codec."""
        frame = publication.frames.get(self.name)
        if frame is None:
            frame = b"%b,%b}" % (self._head("message", channel), body(publication))
            publication.frames[self.name] = frame
        return frame if not skipped else b'%b,"skipped":%d}' % (frame[:-1], skipped)

    def direct(self, data: bytes, *, kind: Kind, ts: int) -> bytes:
        """See Codec."""
        return b'{"type":"direct",%b,"ts":%d}' % (data_fields(data, kind), ts)

    def signal(self, type: str, channel: str, fragment: bytes) -> bytes:
        """See Codec."""
        head = self._head(type, channel)
        return b"%b,%b}" % (head, fragment) if fragment else head + b"}"

    def array(self, publications: Iterable[Publication]) -> Any:
        """See Replies."""
        return Json(messages(publications))

    def _head(self, type: str, channel: str) -> bytes:
        # A channel's grammar has no character that JSON would escape.
        return b'{"type":"%b","channel":"%b"' % (type.encode(), channel.encode())


CODEC = JsonCodec()
