"""What nodes of a cluster answer to `CLUSTER SLOTS`, and which of them is right. No I/O, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from redis.crc import key_slot
from redis.exceptions import NoPermissionError

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.keys import Keys
from services.kernel.redis.store_url import CLUSTER_FORM, Address


class View(NamedTuple):
    """A cluster as one node sees it: `ranges` of slots (first, last, master), and every node that serves some."""

    ranges: tuple[tuple[int, int, Address], ...]
    nodes: frozenset[Address]

    def master(self, slot: int) -> Address | None:
        """Who serves a slot; None where nobody does."""
        return next((who for first, last, who in self.ranges if first <= slot <= last), None)


def of_partition(partition: int) -> int:
    """The slot in which all keys of a partition lie."""
    return key_slot(Keys(partition).record.encode())


def read(reply: Any, *, asked: Address) -> View:
    """The view in a reply to `CLUSTER SLOTS` of the node that was `asked`, which may leave its own host out.

    Raises what came instead of a reply, and ConfigurationError for a server that is no node of a cluster.
    """
    if isinstance(reply, Exception):
        raise _meaning(reply)
    ranges, nodes = [], set()
    for first, last, *serving in reply:
        addresses = [_address(node, asked) for node in serving]
        ranges.append((int(first), int(last), addresses[0]))
        nodes.update(addresses)
    return View(tuple(ranges), frozenset(nodes))


def _address(node: Sequence[Any], asked: Address) -> Address:
    host = (node[0] or b"").decode()
    return Address(host if known(host) else asked.host, int(node[1]))


def known(host: str) -> bool:
    """Whether a host in an answer names one: a node that does not know its own writes nothing or `?`."""
    return host not in ("", "?")


def _meaning(reply: Exception) -> Exception:
    text = str(reply).lower()
    if isinstance(reply, NoPermissionError):
        return ConfigurationError(
            "the user of OPENLINE_REDIS_URL may not ask for the cluster's slots: give it +cluster|slots"
        )
    if "cluster support disabled" in text or "unknown command" in text:
        return ConfigurationError(
            "a server in OPENLINE_REDIS_URL is no node of a cluster: name nodes,"
            f" {CLUSTER_FORM}, or the server itself as redis://host:6379/0"
        )
    return reply


def choose(known: Mapping[int, Address | None], views: Sequence[View]) -> dict[int, Address | None]:
    """The master of each slot in `known` (None: nobody serves it), as most of the nodes say that were asked.

    A node that is cut off from the others tells what was true before. Where as many say the one as the other, what is
    known stays: whoever is wrong sends us on with MOVED.
    """
    return {slot: _most(known.get(slot), [view.master(slot) for view in views]) for slot in known}


def _most(known: Address | None, votes: Sequence[Address | None]) -> Address | None:
    counted = Counter(vote for vote in votes if vote is not None)
    if not counted:
        return None
    most = max(counted.values())
    return known if known is not None and counted[known] == most else counted.most_common(1)[0][0]
