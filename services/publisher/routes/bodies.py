"""Bodies and answers of the calls that publish: msgspec decodes and encodes them, and they are documented as they are."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from services.kernel.domain import positions

MAX_BATCH = 1000


class Whole(int):
    """An integer that may be written `4004` or, as JSON Schema and JavaScript have it, `4004.0`."""

    low = 0
    high = positions.MAX_OFFSET


class OffsetIn(Whole):
    """An offset as a caller writes it."""


def dec_hook(kind: type[Any], value: Any) -> Any:
    """For msgspec's decoders. Raises ValueError, which msgspec turns into an error that names the place."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not issubclass(kind, Whole) or isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("Expected `int`")  # noqa: TRY004 - msgspec's word for it
    if not kind.low <= value <= kind.high:
        raise ValueError(f"Expected `int` from {kind.low} to {kind.high}")
    return kind(value)


def schema_hook(kind: type[Any]) -> dict[str, Any]:
    """For msgspec's JSON Schemas."""
    return {"type": "integer", "minimum": kind.low, "maximum": kind.high}


DATA_SCHEMA: dict[str, Any] = {
    "description": "Any JSON value: at most 64 deep, integers within 64 bits, finite numbers, and what the "
    "namespace's schema allows.",
    "examples": [{"text": "hi"}],
    "anyOf": [
        {"type": ["null", "boolean", "string"]},
        {"type": "number"},
        {"type": "array", "items": {"$ref": "#/components/schemas/Data"}},
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Data"}},
    ],
}

Data: TypeAlias = Annotated[
    Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/Data"}, examples=[{"text": "hi"}])
]
# Python's `$` would let a last line break pass, and JSON Schema has no `\Z`.
_PRINTABLE = r"^[^\x00-\x1f\x7f]*(?!\n)$"

Key: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=_PRINTABLE,
        description="Idempotency key: for five minutes a repetition of it by the same caller on the same channel "
        "stores nothing and answers with the first one's position and `duplicate`.",
    ),
]
ConflateKey: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=_PRINTABLE,
        description="What the message is the newest of, such as `EURUSD`: a slow reader may get the newest message of each "
        "conflate_key in place of all, with `skipped`. The history keeps all.",
    ),
]
Tags: TypeAlias = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=256)]],
    Meta(max_length=16, description="Short labels that travel beside the data."),
]
Epoch: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z0-9]{1,32}$")]
Offset: TypeAlias = Annotated[int, Meta(ge=0, le=positions.MAX_OFFSET)]
Count: TypeAlias = Annotated[int, Meta(ge=0)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is not known is misspelt: ignored, it would be missed in silence."""


class Position(_Body, frozen=True):
    """A place in a channel's history."""

    epoch: Epoch
    offset: OffsetIn

    def checked(self) -> positions.Position:
        """The position. Raises `bad_request`."""
        return positions.make(self.epoch, int(self.offset))


class Publish(_Body, frozen=True, kw_only=True):
    """A message to publish."""

    data: Data
    key: Key | None = None
    conflate_key: ConflateKey | None = None
    tags: Tags | None = None
    ephemeral: Annotated[
        bool, Meta(description="Only for current subscribers: no history, no offset.")
    ] = False
    expect: Annotated[
        Position | None,
        Meta(description="Publish only if this is the channel's newest position; else 409."),
    ] = None


class BatchMessage(Publish, frozen=True, kw_only=True):
    """A message of a batch, and where it goes. A channel or data that cannot be fails alone, in its result."""

    data: Annotated[Raw, Meta(description="As of `Publish`.", examples=[{"text": "hi"}])]
    channel: Annotated[str, Meta(examples=["room:lobby"])]


class Batch(_Body, frozen=True):
    """Messages to publish in this order; each has a result of its own."""

    messages: Annotated[list[BatchMessage], Meta(extra_json_schema={"maxItems": MAX_BATCH})]


class Broadcast(_Body, frozen=True, kw_only=True):
    """One message for many channels; each has a result of its own."""

    channels: Annotated[
        list[str], Meta(extra_json_schema={"maxItems": MAX_BATCH}, examples=[["room:a", "room:b"]])
    ]
    data: Data
    key: Key | None = None
    conflate_key: ConflateKey | None = None
    tags: Tags | None = None
    ephemeral: bool = False


class DirectMessage(_Body, frozen=True):
    """A message to one connection, outside every channel."""

    data: Data


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """Where a message went. An ephemeral one has neither epoch nor offset."""

    channel: str
    epoch: Epoch | UnsetType = UNSET
    offset: Offset | UnsetType = UNSET
    duplicate: bool
    subscribers: Count


class Head(msgspec.Struct, frozen=True):
    """A channel's newest position."""

    epoch: Epoch
    offset: Offset


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one message: `status` as a single publish would have answered, and its fields or its error."""

    channel: str
    status: int
    epoch: Epoch | UnsetType = UNSET
    offset: Offset | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET
    subscribers: Count | UnsetType = UNSET
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    position: Head | UnsetType = UNSET


class Results(msgspec.Struct, frozen=True):
    """One result a message, in order."""

    results: list[Result]
