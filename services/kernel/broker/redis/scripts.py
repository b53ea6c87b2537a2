"""The Lua scripts: read from `lua/`, includes resolved, known to Redis by their digest."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

from services.kernel.redis.scripts import Script

_INCLUDE = re.compile(r"^--include (\w+)$", re.MULTILINE)
_INCLUDED = frozenset(
    {
        "clock",
        "fence",
        "fit",
        "head",
        "lease",
        "living",
        "memory",
        "page",
        "presence",
        "replication",
        "sealed",
        "seek",
        "settled",
    }
)


def _read(name: str) -> str:
    return files(__package__).joinpath("lua", f"{name}.lua").read_text("utf-8")


@cache
def script(name: str) -> Script:
    """The script of an operation, its `--include` lines replaced by the files they name."""
    source = _INCLUDE.sub(lambda found: _read(found[1]), _read(name)).encode()
    digest = hashlib.sha1(source, usedforsecurity=False).hexdigest()
    return Script(name, source, digest.encode())


_REACH = ("beat", "enter", "publish", "reap", "signal")
"""Operations that touch keys which they are not given: the bus's marks, members of others, those of a dead node."""


@cache
def reaching() -> frozenset[bytes]:
    """Digests of the scripts that touch keys which they are not given."""
    return frozenset(script(name).sha for name in _REACH)


@cache
def everything() -> tuple[Script, ...]:
    """All operations' scripts."""
    names = {path.name[:-4] for path in files(__package__).joinpath("lua").iterdir()}
    return tuple(script(name) for name in sorted(names - _INCLUDED))
