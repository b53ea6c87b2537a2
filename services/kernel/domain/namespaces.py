"""The options of a namespace: permissions, history, treatment of slow readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from services.kernel.domain import channels
from services.kernel.domain.codes import Code, OpenlineError


class Access(StrEnum):
    """Who may do a thing in a namespace, from widest to narrowest."""

    ANYONE = "anyone"
    AUTHENTICATED = "authenticated"
    MEMBERS = "members"
    GRANTED = "granted"
    NOBODY = "nobody"


class Slow(StrEnum):
    """What becomes of a reader whose connection does not keep up.

    `disconnect`: closed with 4101 when its buffer is full; it recovers on return. `latest`: skips as soon as its
    socket stalls and gets the newest publication when it drains. `drop`: skips only when its buffer is full.
    """

    DISCONNECT = "disconnect"
    LATEST = "latest"
    DROP = "drop"


class Conflate(StrEnum):
    """What supersedes what within the flush window.

    `key`: of the publications with one `conflate_key` only the newest is written, with `skipped`. `off`: nothing.
    """

    OFF = "off"
    KEY = "key"


class NamespacesError(ValueError):
    """The namespaces file says something that cannot be: the message names the namespace, the option and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """The options of one namespace. Sizes are in messages or bytes, times in seconds or milliseconds as named."""

    name: str
    history_size: int = 1000
    history_bytes: int = 16_777_216
    history_ttl: int = 86_400
    presence: bool = False
    join_leave: bool = False
    subscribe: Access = Access.AUTHENTICATED
    publish: Access = Access.NOBODY
    read_presence: Access = Access.NOBODY
    read_history: Access = Access.AUTHENTICATED
    message_bytes: int = 65_536
    publish_rate: float = 0
    publish_burst: int = 0
    slow: Slow = Slow.DISCONNECT
    conflate: Conflate = Conflate.OFF
    window_ms: int = 5
    schema: Mapping[str, Any] | None = None


_RANGES: dict[str, tuple[int, int]] = {
    "history_size": (1, 1_000_000),
    "history_bytes": (1, 1_073_741_824),
    "history_ttl": (1, 10 * 365 * 86_400),
    "message_bytes": (1, 1_048_576),
    "publish_rate": (0, 1_000_000),
    "publish_burst": (0, 1_000_000),
    "window_ms": (0, 1000),
}
_ENUMS: dict[str, type[StrEnum]] = {
    "subscribe": Access,
    "publish": Access,
    "read_presence": Access,
    "read_history": Access,
    "slow": Slow,
    "conflate": Conflate,
}
_FLAGS = frozenset({"presence", "join_leave"})
_OPTIONS = tuple(f.name for f in fields(Namespace) if f.name != "name")


_MET = 10_000
"""Channels whose namespace is known without looking at their names again."""


class Namespaces:
    """All namespaces of a deployment, and the channels that every connection gets when it opens."""

    def __init__(
        self, namespaces: Mapping[str, Namespace], subscribe_on_connect: tuple[str, ...] = ()
    ) -> None:
        self._namespaces = dict(namespaces)
        self._met: dict[object, Namespace] = {}
        self.subscribe_on_connect = subscribe_on_connect

    def of(self, channel: object) -> Namespace:
        """The namespace of a channel. Raises `bad_request` for a malformed name, `unknown_namespace` otherwise."""
        if isinstance(channel, str) and (met := self._met.get(channel)) is not None:
            return met
        prefix, _ = channels.split(channel)
        try:
            found = self._namespaces[prefix]
        except KeyError:
            known = ", ".join(sorted(self._namespaces))
            raise OpenlineError(
                Code.UNKNOWN_NAMESPACE, f"no namespace {prefix!r} here; known: {known}"
            ) from None
        if len(self._met) >= _MET:
            self._met.clear()
        self._met[channel] = found
        return found

    def __iter__(self) -> Iterator[Namespace]:
        return iter(self._namespaces.values())

    def on_connect(self, subject: str | None) -> list[str]:
        """The channels a new connection is subscribed to; those with `<sub>` only when it has a subject."""
        return [
            channel.replace("<sub>", subject or "")
            for channel in self.subscribe_on_connect
            if subject is not None or "<sub>" not in channel
        ]


def parse(document: Mapping[str, Any]) -> Namespaces:
    """Namespaces from the parsed file. Raises NamespacesError with one line that names what to change."""
    tables = document.get("namespaces")
    if not isinstance(tables, Mapping) or not tables:
        raise NamespacesError("no [namespaces.NAME] table; define at least one")
    unknown = set(document) - {"namespaces", "subscribe_on_connect"}
    if unknown:
        raise NamespacesError(
            f"unknown setting {min(unknown)!r}; known: subscribe_on_connect, namespaces"
        )
    namespaces = {name: _namespace(name, options) for name, options in tables.items()}
    listed = document.get("subscribe_on_connect", [])
    if not isinstance(listed, list):
        raise NamespacesError("subscribe_on_connect must be a list of channels")
    for channel in listed:
        _check_on_connect(channel, namespaces)
    return Namespaces(namespaces, tuple(listed))


def _check_on_connect(channel: object, namespaces: Mapping[str, Namespace]) -> None:
    sample = channel.replace("<sub>", "x") if isinstance(channel, str) else channel
    try:
        prefix, _ = channels.split(sample)
    except OpenlineError as error:
        raise NamespacesError(f"subscribe_on_connect {channel!r}: {error.message}") from None
    if prefix not in namespaces:
        raise NamespacesError(
            f"subscribe_on_connect {channel!r}: define [namespaces.{prefix}] or remove it"
        )


def _namespace(name: str, options: object) -> Namespace:
    if not channels.NAMESPACE.match(name):
        raise NamespacesError(
            f"namespace {name!r}: a name is a lower-case letter and up to 31 of a-z 0-9 _ -"
        )
    if not isinstance(options, Mapping):
        raise NamespacesError(f"namespace {name!r} must be a table of options")
    namespace = Namespace(
        name=name, **{option: _option(name, option, options[option]) for option in options}
    )
    if namespace.history_bytes < namespace.message_bytes:
        raise NamespacesError(
            f"namespace {name!r}, option 'history_bytes': must be at least message_bytes, {namespace.message_bytes}"
        )
    if 0 < namespace.publish_burst < namespace.publish_rate:
        raise NamespacesError(
            f"namespace {name!r}: publish_burst = {namespace.publish_burst} is below publish_rate = "
            f"{namespace.publish_rate:g}: so many a second could never be had; raise the burst or leave it out"
        )
    return namespace


def _option(name: str, option: str, value: object) -> Any:
    where = f"namespace {name!r}, option {option!r}"
    if option not in _OPTIONS:
        raise NamespacesError(f"{where}: unknown; known: {', '.join(_OPTIONS)}")
    if option in _FLAGS:
        if not isinstance(value, bool):
            raise NamespacesError(f"{where}: must be true or false")
        return value
    if option in _ENUMS:
        choices = [choice.value for choice in _ENUMS[option]]
        if value not in choices:
            raise NamespacesError(f"{where}: must be one of {', '.join(choices)}")
        return _ENUMS[option](value)
    if option == "schema":
        if not isinstance(value, Mapping):
            raise NamespacesError(f"{where}: must be a JSON Schema as a table")
        return value
    low, high = _RANGES[option]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise NamespacesError(f"{where}: must be a number from {low} to {high}")
    return value if option == "publish_rate" else int(value)
