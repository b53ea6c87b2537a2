"""Commands in the body of a request: `{"commands": [...]}`, with the `secret` of the stream that they are for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from services.kernel.domain import unreadable
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.protocol.decoding import UNREADABLE

MAX_BODY = 65_536
"""Bytes of a body: any gateway takes it, and what is not for itself goes over the bus to all."""

MAX_COMMANDS = 100


class Beginning(msgspec.Struct, frozen=True):
    """The first commands, each as it was written; none where the request itself brings the token."""

    commands: Annotated[list[msgspec.Raw], Meta(max_length=MAX_COMMANDS)]


class Following(msgspec.Struct, frozen=True):
    """More commands for a stream."""

    secret: Annotated[str, Meta(max_length=64)]
    commands: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_COMMANDS)]


Body = TypeVar("Body", Beginning, Following)


def read(raw: bytes, form: type[Body]) -> Body:
    """A body of this form. Raises `bad_request`; what is wrong inside a command is the session's to tell."""
    try:
        raw.decode()  # what is passed over unread is not looked at otherwise
        return msgspec.json.decode(raw, type=form)
    except RecursionError:
        raise OpenlineError(Code.BAD_REQUEST, "the body is nested too deep") from None
    except msgspec.ValidationError as error:
        raise OpenlineError(
            Code.BAD_REQUEST, f"the body is not as it should be: {error}; send {EXAMPLES[form]}"
        ) from None
    except UNREADABLE as error:
        message = f"the body is not JSON: {unreadable.reason(raw, error)}"
        raise OpenlineError(Code.BAD_REQUEST, message) from None


def texts(commands: Sequence[msgspec.Raw]) -> list[bytes]:
    """The JSON text of each command."""
    return [bytes(command) for command in commands]


EXAMPLES: dict[type, str] = {
    Beginning: '{"commands": [{"type": "auth", "token": "..."}]}',
    Following: '{"secret": "...", "commands": [{"type": "ping"}]}',
}
"""What would be right."""
