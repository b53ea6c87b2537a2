"""Plain routes: a room and a notification topic for whoever knows only WebSocket and JSON."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from services.kernel.domain import data as rule
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.publications import Kind, Publication
from services.kernel.protocol import json_codec
from services.kernel.protocol.commands import BadCommand, Ping, Pong, Typing
from services.kernel.protocol.decoding import UNREADABLE
from services.kernel.protocol.wire import Publish, Wire


class _Typed(msgspec.Struct):
    """The one field of an object that a plain room looks at."""

    type: msgspec.Raw = msgspec.Raw()


_TYPED = msgspec.json.Decoder(_Typed)
_NAME: msgspec.json.Decoder[str] = msgspec.json.Decoder(Literal["auth", "typing", "ping", "pong"])
_BEFORE_JSON = b" \t\r\n\xef\xbb\xbf"
"""What may stand before a JSON text: blanks, and the byte order mark, which some clients write."""


class _NoChannel(json_codec.JsonCodec):
    """JSON events without `channel`: the URL named it."""

    def event(self, type: str, fields: Mapping[str, Any]) -> bytes:
        """See Codec."""
        return super().event(type, {name: fields[name] for name in fields if name != "channel"})

    def _head(self, type: str, channel: str) -> bytes:  # noqa: ARG002
        return b'{"type":"%b"' % type.encode()


class RoomCodec(_NoChannel):
    """What `/ws/rooms/{room}` speaks for the room's channel."""

    name = "room"

    def __init__(self, channel: str) -> None:
        self.channel = channel

    def read(self, data: bytes) -> Wire:
        """What a text frame asks for: any object is published; `typing`, `ping` and `pong` are themselves.

        A frame that is not a JSON object is published as `{"text": frame}`. Raises BadCommand when it is not text,
        begins like an object or array but is not one, or is `auth`: a token must never reach the members of a room.
        """
        if data in _BARE:
            return _BARE[data]
        try:
            named = _named(data, self.channel)
        except UNREADABLE:
            begin = data.lstrip(_BEFORE_JSON)
            if begin != data and begin.startswith(b"{"):
                return self.read(begin)
            if begin.startswith((b"{", b"[")):
                _check_json(begin)
            data, named = _text(data), None
        return named or Publish(channel=self.channel, data=msgspec.Raw(data))


_BARE: dict[bytes, Ping | Pong] = {b"ping": Ping(), b"pong": Pong()}
"""What helpers that keep a connection alive send as text."""


def _named(frame: bytes, channel: str) -> Typing | Ping | Pong | None:
    """The command that an object names by its `type`, or None. Raises BadCommand for `auth`."""
    named = _TYPED.decode(frame).type
    if not named:
        return None
    try:
        name = _NAME.decode(named)
    except (msgspec.ValidationError, UnicodeDecodeError):
        return None
    if name == "auth":
        raise BadCommand(
            Code.BAD_REQUEST,
            "auth is the first message of a connection without a token; connect again with the new one",
        )
    if name == "typing":
        return Typing(channel=channel)
    return Ping() if name == "ping" else Pong()


def _text(frame: bytes) -> bytes:
    try:
        return msgspec.json.encode({"text": frame.decode()})
    except UnicodeDecodeError as error:
        raise BadCommand(Code.INVALID_DATA, f"the frame is not text: {error}") from None


def _check_json(frame: bytes) -> None:
    """Raises BadCommand unless the frame is JSON: half an object is a fault of the page, not what somebody typed."""
    try:
        rule.check_json(frame)
    except OpenlineError as error:
        hint = 'a frame that begins with { or [ is JSON; send other text as {"text": ...}'
        raise BadCommand(error.code, f"{error.message}; {hint}") from None


class NotifyCodec(_NoChannel):
    """What `/ws/notify/{topic}` speaks: each notification as it was published."""

    name = "notify"

    def read(self, data: bytes) -> Wire:  # noqa: ARG002
        """Nothing is read on this route. Raises BadCommand."""
        raise BadCommand(Code.BAD_REQUEST, "nothing is read on this route; it only notifies")

    def message(self, channel: str, publication: Publication, *, skipped: int = 0) -> bytes:  # noqa: ARG002
        """See Codec."""
        frame = publication.frames.get(self.name)
        if frame is None:
            frame = publication.frames[self.name] = notification(publication)
        return frame


def notification(publication: Publication) -> bytes:
    """Published data as one JSON object: itself when it is one, else as `data` of a notification."""
    if publication.kind is Kind.BINARY:
        return b'{"type":"notification","data":"%b","encoding":"base64"}' % b64encode(
            publication.data
        )
    text = publication.data
    if publication.kind is Kind.MSGPACK:
        text = msgspec.json.encode(msgspec.msgpack.decode(text))
    return text if text.startswith(b"{") else b'{"type":"notification","data":%b}' % text
