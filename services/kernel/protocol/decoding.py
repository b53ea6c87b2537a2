"""From a frame to a command, the same in both encodings; and what to tell a client whose frame is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.data import MAX_INTEGER, MIN_INTEGER
from services.kernel.domain.packed import MAX_DEPTH
from services.kernel.domain.unreadable import reason
from services.kernel.domain.wording import cut
from services.kernel.protocol.commands import TYPES, BadCommand, Command, Id
from services.kernel.protocol.wire import Auth, Check, History, Publish, Subscribe, Wire

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the decoders raise for bytes that they cannot read."""

TOO_DEEP = f"nested more than {MAX_DEPTH} deep"

_NEED_CHECKS = (Publish, Subscribe, History, Auth)
_WHERE = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_KNOWN = ", ".join(TYPES)
_SHOWN = 40


class Decoder(Protocol):
    """Reads one encoding, as the decoders of msgspec do."""

    def decode(self, buf: bytes, /) -> Wire:
        """The command as it was written."""


class _Envelope(msgspec.Struct):
    """What can be read of a command whose fields are wrong."""

    id: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()


class Decoding:
    """Decodes the commands of one encoding.

    `encoding` is its name for people, `decoder` reads commands, `read` (bytes, type=) anything, `check` checks data.
    `leading` cuts an object off before its first member that is more than a scalar: what cannot be read to its end may
    have told its id by then. `depth` counts the containers inside each other in a frame that cannot be read.
    """

    __slots__ = ("_check", "_decoder", "_depth", "_encoding", "_leading", "_read")

    def __init__(
        self,
        encoding: str,
        *,
        decoder: Decoder,
        read: Callable[..., Any],
        check: Check,
        leading: Callable[[bytes], bytes],
        depth: Callable[[bytes], int],
    ) -> None:
        self._encoding = encoding
        self._decoder = decoder
        self._read = read
        self._check = check
        self._leading = leading
        self._depth = depth

    def id(self, raw: bytes) -> Id:
        """The id of the command in a frame, None where it cannot be read."""
        try:
            return self._id(self._read(raw, type=_Envelope))
        except UNREADABLE:
            return self._early_id(raw)

    def read(self, raw: bytes) -> Wire:
        """The command as it was written. Raises BadCommand, and nothing else, whatever the bytes are."""
        try:
            wire = self._decoder.decode(raw)
        except UNREADABLE as error:
            raise self._refusal(raw, error) from None
        if isinstance(wire.id, int) and not MIN_INTEGER <= wire.id <= MAX_INTEGER:
            raise BadCommand(Code.BAD_REQUEST, "id: an integer must be within 64 bits")
        return wire

    def command(self, wire: Wire) -> Command:
        """The command, its data checked. Raises BadCommand, and nothing else."""
        if not isinstance(wire, _NEED_CHECKS):
            return wire
        try:
            return wire.command(self._check)
        except OpenlineError as error:
            raise BadCommand(error.code, error.message, id=wire.id) from None

    def _refusal(self, raw: bytes, error: Exception) -> BadCommand:
        try:
            envelope = self._read(raw, type=_Envelope)
        except msgspec.ValidationError:
            return BadCommand(Code.BAD_REQUEST, 'a command is an object such as {"type": "ping"}')
        except UNREADABLE as unreadable:
            # Which of the decoder's complaints comes first depends on the interpreter's stack. The command is one level.
            if isinstance(unreadable, RecursionError) or self._depth(raw) > MAX_DEPTH + 1:
                return BadCommand(Code.INVALID_DATA, TOO_DEEP, id=self._early_id(raw))
            message = f"the frame is not valid {self._encoding}: {reason(raw, unreadable)}"
            return BadCommand(Code.BAD_REQUEST, message, id=self._early_id(raw))
        message = self._wrong_type(envelope) or _wrong_field(reason(raw, error))
        return BadCommand(Code.BAD_REQUEST, message, id=self._id(envelope))

    def _wrong_type(self, envelope: _Envelope) -> str | None:
        """What is wrong with the `type`, or None."""
        if not envelope.type:
            return f"type is missing; known: {_KNOWN}"
        try:
            named = self._read(envelope.type, type=str)
        except UNREADABLE:
            return f"type must be a string; known: {_KNOWN}"
        if named not in TYPES:
            return f"unknown type {cut(named, _SHOWN)!r}; known: {_KNOWN}"
        return None

    def _early_id(self, raw: bytes) -> Id:
        """The id of a command that cannot be read to its end."""
        try:
            return self._id(self._read(self._leading(raw), type=_Envelope))
        except UNREADABLE:
            return None

    def _id(self, envelope: _Envelope) -> Id:
        """The command's id if it has a valid one."""
        try:
            named: Id = self._read(envelope.id, type=Id)
        except UNREADABLE:
            return None
        if isinstance(named, int) and not MIN_INTEGER <= named <= MAX_INTEGER:
            return None
        return named


def _wrong_field(said: str) -> str:
    """The decoder's complaint, field first: `limit: Expected int <= 500`."""
    matched = _WHERE.fullmatch(said)
    complaint, field = matched.groups() if matched else (said, None)
    text = complaint.replace("`", "")
    return f"{field}: {text}" if field else text
