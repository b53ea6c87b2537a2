"""The frames, and how they are written: JSON by the standard library, MessagePack by `ormsgpack` or `msgspec`."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypedDict, cast

from openline.errors import InvalidData, OpenlineError
from openline.types import Join, Leave, Member, Message, Position, PresencePage, Published

Frame: TypeAlias = dict[str, Any]
"""A command or an event: an object with a `type`. Members that are not known are left alone."""


class WirePosition(TypedDict):
    """A position as it travels."""

    epoch: str
    offset: int


class Codec(Protocol):
    """How frames are written and read."""

    subprotocol: str

    def encode(self, frame: Frame) -> str | bytes:
        """A frame to send. Raises InvalidData for what cannot be written."""

    def decode(self, data: str | bytes) -> Frame:
        """A frame that came. Raises ValueError for what is none."""


class Json:
    """Text frames; bytes come as base64 and cannot be sent."""

    subprotocol = "openline.json.v1"

    def __init__(self) -> None:
        self._encode = json.JSONEncoder(
            separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=True
        ).encode
        self._decode = json.JSONDecoder().decode

    def encode(self, frame: Frame) -> str:
        """See Codec."""
        try:
            return self._encode(frame)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidData(
                f"{error}; JSON takes objects, lists, strings, finite numbers, booleans and null "
                '(bytes: codec="msgpack")'
            ) from None

    def decode(self, data: str | bytes) -> Frame:
        """See Codec."""
        frame = self._decode(data if isinstance(data, str) else data.decode())
        return _frame(frame)


class MsgPack:
    """Binary frames; data may hold bytes."""

    subprotocol = "openline.msgpack.v1"

    def __init__(self) -> None:
        self._pack, self._unpack = _msgpack()

    def encode(self, frame: Frame) -> bytes:
        """See Codec."""
        try:
            return self._pack(frame)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidData(f"{error}; MessagePack takes what JSON takes, and bytes") from None

    def decode(self, data: str | bytes) -> Frame:
        """See Codec."""
        return _frame(self._unpack(data.encode() if isinstance(data, str) else data))


def codec(name: str) -> Codec:
    """The codec of this name. Raises OpenlineError when it is not known, or its package is not installed."""
    if name == "json":
        return Json()
    if name == "msgpack":
        return MsgPack()
    raise OpenlineError(
        f'codec {name!r} is not known; give "json" or "msgpack"', code="bad_configuration"
    )


def _msgpack() -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    try:
        import ormsgpack  # noqa: PLC0415 - optional
    except ImportError:
        pass
    else:
        return ormsgpack.packb, ormsgpack.unpackb
    try:
        import msgspec  # noqa: PLC0415 - optional
    except ImportError:
        raise OpenlineError(
            'codec "msgpack" needs a package: pip install ormsgpack (or msgspec)',
            code="bad_configuration",
        ) from None
    return msgspec.msgpack.encode, msgspec.msgpack.decode


def _frame(value: Any) -> Frame:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise ValueError("a frame is an object with a type")  # noqa: TRY004 - the value is wrong
    return cast("Frame", value)


def position(given: Position) -> WirePosition:
    """A position as it travels."""
    return {"epoch": given.epoch, "offset": given.offset}


def data(frame: Frame) -> Any:
    """The data of a message; bytes that travelled as base64 are bytes again."""
    if frame.get("encoding") != "base64":
        return frame["data"]
    try:
        return base64.b64decode(frame["data"], validate=True)
    except (binascii.Error, TypeError) as error:
        raise ValueError(f"data is no base64: {error}") from None


def message(frame: Frame, channel: str, *, recovered: bool = False) -> Message[Any]:
    """A message as it came, or from a history; its data is not checked yet."""
    get = frame.get
    return Message(
        channel,
        data(frame) if "encoding" in frame else frame["data"],
        get("offset"),
        get("from"),
        get("ts", 0),
        get("key"),
        get("tags"),
        get("skipped", 0),
        recovered,
        get("conflate_key"),
    )


def published(frame: Frame, channel: str) -> Published:
    """The result of a publish."""
    duplicate = bool(frame.get("duplicate"))
    return Published(frame.get("epoch"), frame.get("offset"), duplicate, channel)


def error(frame: Frame) -> OpenlineError:
    """What a command was refused with."""
    retry_after = frame.get("retry_after")
    return OpenlineError(
        str(frame.get("message", "refused")),
        code=str(frame.get("code", "internal")),
        temporary=bool(frame.get("temporary")),
        retry_after=float(retry_after) if retry_after is not None else None,
    )


def join(frame: Frame) -> Join:
    """A member who came."""
    return Join(
        frame["channel"],
        frame.get("user"),
        frame["connection"],
        frame["count"],
        frame["users"],
        frame.get("info"),
        frame.get("first"),
    )


def leave(frame: Frame) -> Leave:
    """A member who left."""
    return Leave(
        frame["channel"],
        frame.get("user"),
        frame["connection"],
        frame["count"],
        frame["users"],
        frame.get("last"),
    )


def presence(frame: Frame) -> PresencePage:
    """A page of members."""
    members = [
        Member(m.get("user"), m["connection"], m.get("info"), m["since"]) for m in frame["members"]
    ]
    return PresencePage(members, frame["count"], frame["users"], frame.get("cursor"))
