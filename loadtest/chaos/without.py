"""Openline with one of its rules broken, to see that a run of faults finds out. The product itself has no such switch.

python -m loadtest.chaos.without RULE             what `make run` starts, each service without the rule
python -m loadtest.chaos.without RULE -- gateway  one service of it
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from deploy.local import programs
from deploy.local.processes import Program
from services.gateway.hub.bus_cursor import BusCursor
from services.gateway.hub.channel import Channel
from services.gateway.hub.hub import Hub
from services.kernel.broker.redis import scripts
from services.kernel.redis.sentinel import Sentinels

_CURRENT = "return record[2] and string.find(info, 'master_replid:' .. record[2], 1, true) ~= nil"
_POPPED = "local left = redis.call('SPOP', KEYS[8], most)"
_TAKEN = "    take(keys, connection, member)"
_MORE = "if #left == most or"


def _fence() -> None:
    """The history record counts under whatever replication id it was made: nobody is told that a store lost its newest."""
    _rewrite("replication", {_CURRENT: "return record[2] ~= false"})


def _beats() -> None:
    """Rule 6: a beat's reply is taken to be of the history that is read."""
    _break(BusCursor, "confirmed", lambda *_: True)


def _resync() -> None:
    """Rule 7: after a hole nothing is compared again."""
    _break(Hub, "_resync", lambda *_: None)


def _buffer() -> None:
    """Rule 4: what comes while a look is under way is dropped."""
    _break(Channel, "_buffer_up", lambda *_: None)


def _watch() -> None:
    """Nobody is told that the master has moved: connections to the former one stay."""
    begin = Sentinels.__init__

    def deaf(sentinels: Sentinels, *given: Any, **options: Any) -> None:
        begin(sentinels, *given, **{**options, "moved": lambda *_: None})

    _break(Sentinels, "__init__", deaf)


def _reap() -> None:
    """Members of a dead gateway are not claimed by whoever lets them leave: the next one lets them leave again."""
    first = "local first = redis.call('SADD', KEYS[4] .. ':told', incarnation) == 1"
    unclaimed = (
        f"{first}\nlocal left = redis.call(first and 'SRANDMEMBER' or 'SPOP', KEYS[8], most)"
    )
    taken = f"    if not first then {_TAKEN.strip()} end"
    _rewrite("reap", {_POPPED: unclaimed, _TAKEN: taken, _MORE: "if first or #left == most or"})


def _rewrite(script: str, changes: Mapping[str, str]) -> None:
    """Have a script read otherwise than it is."""
    read = scripts._read  # noqa: SLF001 - broken on purpose, as all here

    def otherwise(name: str) -> str:
        source = read(name)
        for said, instead in changes.items() if name == script else ():
            if said not in source:
                raise SystemExit(f"{script}.lua has changed: say anew what breaks it")
            source = source.replace(said, instead)
        return source

    scripts._read = otherwise  # noqa: SLF001


def _break(where: type, name: str, how: Callable[..., Any]) -> None:
    if not hasattr(where, name):
        raise SystemExit(f"{where.__name__} has no {name} any more: say anew what breaks it")
    setattr(where, name, how)


@dataclass(frozen=True, slots=True)
class Rule:
    """What breaks it, the store with which, and the faults under which, that comes to light."""

    broken: Callable[[], None]
    store: str
    faults: tuple[str, ...]


RULES = {
    "fence": Rule(_fence, "sentinel", ("lagging-kill",)),
    "beats": Rule(_beats, "standalone", ("redis-empty",)),
    "resync": Rule(_resync, "standalone", ("bus-hole",)),
    "buffer": Rule(_buffer, "standalone", ("answers-late",)),
    "watch": Rule(_watch, "sentinel", ("master-cut",)),
    "reap": Rule(_reap, "standalone", ("gateway-kill",)),
}


def main() -> None:
    """Run what was asked for."""
    rule, *service = sys.argv[1:]
    if service:
        RULES[rule].broken()
        (module,) = service[1:]
        sys.argv[1:] = []
        runpy.run_module(f"services.{module}", run_name="__main__", alter_sys=True)
        return
    whole = programs._service  # noqa: SLF001 - no product code knows of this

    def broken(plan: Any, module: str, *given: Any, **options: Any) -> Program:
        program = whole(plan, module, *given, **options)
        command = [sys.executable, "-m", "loadtest.chaos.without", rule, "--", module]
        return replace(program, command=command)

    programs._service = broken  # noqa: SLF001
    sys.argv[1:] = []
    runpy.run_module("deploy.local.run", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
