"""Control messages: what the back end tells every gateway to do, as values and as the JSON that the bus carries."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from services.kernel.domain.codes import Close


class _Control(msgspec.Struct, frozen=True, kw_only=True, tag_field="do"):
    pass


class DisconnectUser(_Control, frozen=True, kw_only=True, tag="disconnect_user"):
    """Close all connections of a user with a close code and a reason of at most 123 bytes."""

    user: str
    code: int = Close.DISCONNECTED.value
    reason: str = ""


class DisconnectConnection(_Control, frozen=True, kw_only=True, tag="disconnect_connection"):
    """Close one connection."""

    connection: str
    code: int = Close.DISCONNECTED.value
    reason: str = ""


class EndFormer(_Control, frozen=True, kw_only=True, tag="end_former"):
    """Close the connection that a client had before it came back, if it is this user's, or this anonymous client's.

    `client` is the digest of the anonymous client's name for itself.
    """

    connection: str
    user: str | None
    client: str = ""


class ProbeUser(_Control, frozen=True, kw_only=True, tag="probe_user"):
    """Ask the connections of a user for a sign of life that gave none for a while, and close those that still do not."""

    user: str


class SubscribeUser(_Control, frozen=True, kw_only=True, tag="subscribe_user"):
    """Subscribe all present connections of a user to a channel, each for as long as it lives."""

    user: str
    channel: str


class UnsubscribeUser(_Control, frozen=True, kw_only=True, tag="unsubscribe_user"):
    """End the subscription to a channel on all present connections of a user."""

    user: str
    channel: str


class Direct(_Control, frozen=True, kw_only=True, tag="direct"):
    """Send `data` (checked, compact JSON text) to one connection, at most once; `ts` in milliseconds since 1970."""

    connection: str
    data: msgspec.Raw
    ts: int


class Revoke(_Control, frozen=True, kw_only=True, tag="revoke"):
    """Close what tokens opened that are void now: `kind` is `jti`, `sub` or `client`, `value` its name.

    Of a user or client, tokens issued up to `cutoff` are void. `exp` is when none of them would be valid anyway.
    Both in seconds since 1970.
    """

    kind: str
    value: str
    exp: float
    cutoff: float = 0.0


class MoveClients(_Control, frozen=True, kw_only=True, tag="move_clients"):
    """Move the clients that came through one instance of the front door within `seconds`: it is about to go."""

    proxy: str
    seconds: float


class DrainNode(_Control, frozen=True, kw_only=True, tag="drain_node"):
    """Have the gateway of this name take no more clients, and move those it has: told to go `within` so many seconds."""

    node: str
    within: float


class UndoDrain(_Control, frozen=True, kw_only=True, tag="undo_drain"):
    """Have the gateway of this name take clients again."""

    node: str


class CarryCommands(_Control, frozen=True, kw_only=True, tag="carry_commands"):
    """Carry out commands, each as its client wrote it, for a stream that another gateway has.

    `digest` is the SHA-256 of the secret that the client gave; whoever has the stream answers by the name `request`.
    """

    connection: str
    digest: str
    request: str
    commands: list[msgspec.Raw]


class CommandsTaken(_Control, frozen=True, kw_only=True, tag="commands_taken"):
    """The answer to `CarryCommands`: taken, or refused with an error's `code`, its message and its seconds to wait."""

    request: str
    code: str = ""
    message: str = ""
    retry_after: float | None = None


ForSessions: TypeAlias = (
    DisconnectUser | DisconnectConnection | EndFormer | SubscribeUser | UnsubscribeUser | Direct
)
ForNode: TypeAlias = DrainNode | UndoDrain
Control: TypeAlias = (
    ForSessions | ForNode | Revoke | MoveClients | ProbeUser | CarryCommands | CommandsTaken
)

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)


def encode(control: Control) -> bytes:
    """The JSON object that goes on the bus."""
    return _ENCODER.encode(control)


def decode(message: bytes) -> Control | None:
    """The control message, or None for one that this version does not know.

    During a rolling upgrade newer services may tell older gateways what these cannot do; that must not stop the bus.
    """
    try:
        return _DECODER.decode(message)
    except msgspec.DecodeError:
        return None
