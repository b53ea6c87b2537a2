"""What Sentinels answer, and which of them is right. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.store_url import FORM, Address

SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds between two questions while the master that was found cannot be used."""

LEAST_DOWN_AFTER = 3000
"""Milliseconds: below, a busy machine is taken for a dead one, and a new master is left again before it has begun."""

LEAST_SENTINELS = 3


class Answer(NamedTuple):
    """Where a Sentinel says that the master is, and since which `epoch` of its configuration.

    `sentinels` are those that watch this master, itself included; `down_after` is in milliseconds.
    """

    address: Address
    epoch: int
    sentinels: int = LEAST_SENTINELS
    quorum: int = 2
    down_after: int = LEAST_DOWN_AFTER


class Weakness(NamedTuple):
    """A setting with which failovers fail or lose more, and the one that would do."""

    problem: str
    fix: str


def read(address: Any, master: Any, *, name: str) -> Answer:
    """The answer in the replies to `SENTINEL GET-MASTER-ADDR-BY-NAME` and `SENTINEL MASTER`.

    The first names the new master as soon as that has taken over, the second the epoch. Raises what came instead of a
    reply, and ConfigurationError for a name that this Sentinel does not watch or a server that is no Sentinel.
    """
    for reply in (address, master):
        if isinstance(reply, Exception):
            raise _meaning(reply, name)
    if address is None:
        raise unknown(name)
    fields = dict(zip(master[::2], master[1::2], strict=True))
    return Answer(
        Address(address[0].decode(), int(address[1])),
        epoch=_number(fields, b"config-epoch"),
        sentinels=_number(fields, b"num-other-sentinels") + 1,
        quorum=_number(fields, b"quorum"),
        down_after=_number(fields, b"down-after-milliseconds"),
    )


def unknown(name: str) -> ConfigurationError:
    """The refusal of a name that no Sentinel watches."""
    return ConfigurationError(
        f"the Sentinels watch no master named {name!r}: correct the name in OPENLINE_REDIS_URL, {FORM}"
    )


def _meaning(reply: Exception, name: str) -> Exception:
    text = str(reply).lower()
    if "no such master" in text:
        return unknown(name)
    if "unknown command" in text:
        return ConfigurationError(
            "a server in OPENLINE_REDIS_URL is no Sentinel: name the addresses of Sentinels,"
            f" {FORM}, or the server itself as redis://host:6379/0"
        )
    return reply


def _number(fields: dict[bytes, bytes], name: bytes) -> int:
    return int(fields.get(name, b"0"))


def taken_for_masters(replicas: Any) -> list[Address]:
    """Replicas in the reply to `SENTINEL REPLICAS` that said last that they are masters, and can be reached; none for a refusal."""
    if not isinstance(replicas, list):
        return []
    found = []
    for reply in replicas:
        fields = dict(zip(reply[::2], reply[1::2], strict=True))
        flags = fields.get(b"flags", b"").split(b",")
        if fields.get(b"role-reported") == b"master" and flags == [b"slave"]:
            found.append(Address(fields[b"ip"].decode(), int(fields[b"port"])))
    return found


def choose(known: Answer | None, answers: Iterable[Answer], *, of: int) -> Answer | None:
    """Whom to believe of all that was last answered: the highest epoch, since each takes a majority of Sentinels to begin.

    A Sentinel that was cut off tells an older one. It counts only where more than half of all (`of`) answered and none
    knows better: then the Sentinels were set up anew and count from the beginning.
    """
    heard = list(answers)
    if not heard:
        return known
    newest = max(heard, key=lambda answer: answer.epoch)
    if known is not None and newest.epoch < known.epoch and 2 * len(heard) <= of:
        return known
    if known is not None and newest.epoch == known.epoch and _says(heard, known):
        return known
    return newest


def _says(heard: Sequence[Answer], known: Answer) -> bool:
    return any(answer[:2] == known[:2] for answer in heard)


def pause(tries: int, spread: float) -> float:
    """Seconds until the next question after so many in vain; `spread` (0 to 1) keeps processes apart."""
    longest = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(tries, 10))
    return max(SHORTEST_PAUSE, longest * (0.5 + 0.5 * spread))


def weaknesses(answer: Answer, *, named: int) -> list[Weakness]:
    """What an operator should mend in the Sentinels' configuration, or in a URL that names so many of them."""
    found = []
    if named < min(answer.sentinels, LEAST_SENTINELS):
        found.append(
            Weakness(
                f"{named} of {answer.sentinels} Sentinels can be asked: when they are away, nobody says where a new master is",
                "name all of them in OPENLINE_REDIS_URL",
            )
        )
    if answer.sentinels < LEAST_SENTINELS:
        found.append(
            Weakness(
                f"{answer.sentinels} Sentinels watch this master: when one is lost, nobody can promote",
                "run three Sentinels on machines of their own",
            )
        )
    elif not answer.sentinels // 2 < answer.quorum <= answer.sentinels:
        found.append(
            Weakness(
                f"a quorum of {answer.quorum} is not the majority of {answer.sentinels} Sentinels",
                f"SENTINEL SET name quorum {answer.sentinels // 2 + 1}",
            )
        )
    if answer.down_after < LEAST_DOWN_AFTER:
        found.append(
            Weakness(
                f"a master counts as dead after {answer.down_after} ms, also one that is only busy",
                f"SENTINEL SET name down-after-milliseconds {LEAST_DOWN_AFTER}",
            )
        )
    return found
