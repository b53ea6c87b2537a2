"""Which server holds which partitions, as `OPENLINE_REDIS_SERVERS_FILE` says it. No I/O."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, NamedTuple

import msgspec

FORM = '[[servers]] tables, each with url = "redis://..." and partitions = "0-3"'
"""What the file holds, for messages."""


class Server(NamedTuple):
    """A server by its URL, or what Sentinels watch by theirs, and the partitions that live there."""

    url: str
    partitions: tuple[int, ...]


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    partitions: str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    servers: Annotated[list[_Row], msgspec.Meta(min_length=1)]


def single(url: str, partitions: int) -> tuple[Server, ...]:
    """One server for all partitions."""
    return (Server(url, tuple(range(partitions))),)


def read(text: str, partitions: int, *, check: Callable[[str], str] = str) -> tuple[Server, ...]:
    """The servers in the text of a file, in the order of the partitions; every one of `partitions` is named once.

    `check` returns a URL as it is to be used. Raises ValueError, also from `check`, which says what is wrong and shows no
    URL: it may hold a password.
    """
    try:
        rows = msgspec.convert(tomllib.loads(text), _File).servers
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is no TOML: {error.args[0]}") from None
    except msgspec.ValidationError as error:
        raise ValueError(f"must hold {FORM}: {error}") from None
    servers = [_server(row, place, check) for place, row in enumerate(rows, start=1)]
    _check_partitions(servers, partitions)
    return tuple(sorted(servers, key=lambda server: server.partitions))


def moving(before: Sequence[Server], after: Sequence[Server]) -> int:
    """The one partition that is at another URL after than it was before. Raises ValueError, which shows no URL."""
    was, will = (
        {n: server.url for server in map_ for n in server.partitions} for map_ in (before, after)
    )
    moved = [number for number in sorted(was) if was[number] != will[number]]
    if not moved:
        raise ValueError(
            "gives every partition to the server that it has: give one to another server, or, to finish a move, name the former map by --from"
        )
    if len(moved) > 1:
        raise ValueError(f"moves {spelled(moved)}: move one after the other, with a map for each")
    return moved[0]


def _server(row: _Row, place: int, check: Callable[[str], str]) -> Server:
    try:
        return Server(check(row.url), tuple(_numbers(row.partitions)))
    except ValueError as error:
        raise ValueError(f"server {place}: {error}") from None


def _numbers(text: str) -> Iterable[int]:
    """The partitions in a text such as `0-3,7`, in their order."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        ends = (first, last if dash else first)
        if not all(end.isascii() and end.isdigit() and len(end) < 4 for end in ends):  # noqa: PLR2004
            raise ValueError(
                f'partitions = "{text[:40]}" must be numbers and ranges such as "0-3,7"'
            )
        found.update(range(int(ends[0]), int(ends[1]) + 1))
    if not found:
        raise ValueError(f'partitions = "{text[:40]}" names none: write the lower number first')
    return sorted(found)


def _check_partitions(servers: Sequence[Server], partitions: int) -> None:
    named = [number for server in servers for number in server.partitions]
    twice = sorted({number for number in named if named.count(number) > 1})
    if twice:
        raise ValueError(f"gives partition {twice[0]} to two servers: name it once")
    if missing := set(range(partitions)) - set(named):
        raise ValueError(
            f"gives {spelled(missing)} to no server: name 0 to {partitions - 1}, as OPENLINE_PARTITIONS says"
        )
    if unknown := set(named) - set(range(partitions)):
        raise ValueError(
            f"names {spelled(unknown)}, but OPENLINE_PARTITIONS is {partitions}: name 0 to {partitions - 1}"
        )


def spelled(numbers: Iterable[int]) -> str:
    """Partitions in words, such as `partition 3` or `partitions 0-3,7`."""
    ordered = sorted(numbers)
    runs: list[list[int]] = []
    for number in ordered:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    text = ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return f"partition{'s' if len(ordered) > 1 else ''} {text}"
