"""What a session needs of an encoding: commands in, events out. Each event is one whole message, not yet a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.publications import Kind, Publication
from services.kernel.protocol.commands import Command, Id
from services.kernel.protocol.wire import Wire


class Json:
    """JSON text standing for a value in an event's fields: JSON takes it as it is, MessagePack converts it."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


class Codec(Protocol):
    """One encoding of the protocol. `name` keys `Publication.frames`; `binary` tells the frame's opcode."""

    @property
    def name(self) -> str:
        """The name under which this codec keeps what it encoded."""

    @property
    def binary(self) -> bool:
        """Whether messages travel as binary frames."""

    def read(self, data: bytes) -> Wire:
        """The command in a frame as it was written; the data of a `publish` is not looked at yet, which costs a step an
        item. Raises BadCommand, and nothing else, whatever the bytes are.
        """

    def command(self, wire: Wire) -> Command:
        """The command, its data checked. Raises BadCommand, and nothing else."""

    def id(self, data: bytes) -> Id:
        """The id alone of the command in a frame, for what is refused without a look; None where it cannot be read."""

    def event(self, type: str, fields: Mapping[str, Any]) -> bytes:
        """Any event: its type, then the fields as they are; None is null. Values may hold Json at any depth."""

    def ack(self, id: Id, fields: Mapping[str, Any]) -> bytes:
        """The result of a command; `id` is left out when the command had none."""

    def error(self, id: Id, error: OpenlineError) -> bytes:
        """A refusal; `id` is left out when the command had none, or it could not be read."""

    def pong(self, id: Id) -> bytes:
        """The answer to a `ping`."""

    def message(self, channel: str, publication: Publication, *, skipped: int = 0) -> bytes:
        """A publication as an event, encoded once; `skipped` is how many were left out just before it."""

    def direct(self, data: bytes, *, kind: Kind, ts: int) -> bytes:
        """A message to one connection; `ts` is in milliseconds."""

    def signal(self, type: str, channel: str, fragment: bytes) -> bytes:
        """An event of a channel whose fields are a JSON fragment without braces, such as `"user":"bob"`."""

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
        """The ack of a `history`: the publications in the order given, and the position of the head."""
