"""What `OPENLINE_REDIS_URL` says: the server itself, or the Sentinels or nodes of a cluster that know where it is. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

SENTINEL_PORT = 26379
MOST_SENTINELS = 15
_CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
SCHEMES = ("redis+sentinel", "rediss+sentinel", *_CLUSTER_SCHEMES)
"""Of URLs that name several hosts."""

FORM = "redis+sentinel://user:password@host1:26379,host2,host3/NAME/db"
"""What a URL of Sentinels looks like, for messages."""

NODE_PORT = 6379
MOST_NODES = 64
CLUSTER_FORM = "redis+cluster://user:password@host1:6379,host2,host3"
"""What a URL of a cluster looks like, for messages."""

_CLUSTER_HOST = "at.cluster.invalid"

_OWN = ("sentinel_user", "sentinel_password")
_OF_SERVER = ("db", "username", "password")
"""Options that are for the server alone: a Sentinel has no databases and users of its own."""


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Sentinel(NamedTuple):
    """One Sentinel: `url` opens a connection to it and holds its credentials, so it is not for logs."""

    address: Address
    url: str


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """`server` is a URL as redis-py reads it. With `sentinels`, these know the address of the master called `name`.

    With `nodes`, these are some of a cluster, and know those of all of its masters.
    """

    server: str
    sentinels: tuple[Sentinel, ...] = ()
    name: str = ""
    nodes: tuple[Address, ...] = ()

    def at(self, node: Address) -> str:
        """The URL of a node of the cluster; it holds credentials, so it is not for logs."""
        return self.server.replace(_CLUSTER_HOST, str(node), 1)


def parse(url: str) -> StoreUrl:
    """The parts of a URL; one that names a single server is left as it is.

    Raises ValueError, which says what is wrong and shows no part of the URL: it may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        return StoreUrl(url)
    authority, path, query = _split(rest)
    if scheme in _CLUSTER_SCHEMES:
        return _cluster(scheme.removesuffix("+cluster"), authority, path, query)
    credentials, at, hosts = authority.rpartition("@")
    name, database = _name_and_database(path)
    options = parse_qsl(query, keep_blank_values=True)
    own = {key: value for key, value in options if key in _OWN}
    server = [(key, value) for key, value in options if key not in _OWN]
    base = scheme.removesuffix("+sentinel")
    return StoreUrl(
        f"{base}://{credentials}{at}at.sentinel.invalid/{database}{_query(server)}",
        tuple(
            Sentinel(address, _sentinel_url(base, address, own, server))
            for address in _addresses(hosts, _SENTINELS)
        ),
        name,
    )


def _cluster(base: str, authority: str, path: str, query: str) -> StoreUrl:
    credentials, at, hosts = authority.rpartition("@")
    options = parse_qsl(query, keep_blank_values=True)
    databases = [path.strip("/"), *(value for key, value in options if key == "db")]
    if any(database not in ("", "0") for database in databases):
        raise ValueError(
            f"names a database: a cluster has only number 0; its form is {CLUSTER_FORM}"
        )
    server = f"{base}://{credentials}{at}{_CLUSTER_HOST}/0{_query(options)}"
    return StoreUrl(server, nodes=tuple(_addresses(hosts, _NODES)))


def check(url: str) -> str:
    """The URL itself. Raises as `parse` does."""
    parse(url)
    return url


def _split(rest: str) -> tuple[str, str, str]:
    """What stands before the path, the path without its first slash, and the query."""
    rest, _, _ = rest.partition("#")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    return authority, path, query


def _name_and_database(path: str) -> tuple[str, int]:
    name, _, database = path.rstrip("/").partition("/")
    if not name:
        raise ValueError(f"names no master to ask the Sentinels for; its form is {FORM}")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError(f"names a database that is no number; its form is {FORM}")
    return name, int(database or 0)


class _Hosts(NamedTuple):
    """What hosts of a URL are, in messages, and which port they have unless one is given."""

    name: str
    names: str
    most: int
    port: int
    form: str


_SENTINELS = _Hosts("Sentinel", "Sentinels", MOST_SENTINELS, SENTINEL_PORT, FORM)
_NODES = _Hosts("node", "nodes", MOST_NODES, NODE_PORT, CLUSTER_FORM)


def _addresses(hosts: str, kind: _Hosts) -> list[Address]:
    found = [_address(host.strip(), kind) for host in hosts.split(",")]
    if len(found) > kind.most:
        raise ValueError(f"names more than {kind.most} {kind.names}")
    if len(set(found)) < len(found):
        raise ValueError(f"names a {kind.name} twice")
    return found


def _address(text: str, kind: _Hosts) -> Address:
    host, _, port = text.rpartition(":") if _has_port(text) else (text, ":", "")
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isascii() and port.isdigit() else kind.port if not port else 0
    if not host or not 0 < number < 65_536:  # noqa: PLR2004 - ports
        raise ValueError(f"has a {kind.name} that is no host:port; its form is {kind.form}")
    return Address(host, number)


def _has_port(text: str) -> bool:
    """Whether a port follows the host; the colons of an address of IPv6 stand between brackets."""
    return ":" in text.rpartition("]")[2]


def _sentinel_url(
    base: str, address: Address, own: dict[str, str], server: list[tuple[str, str]]
) -> str:
    user, password = own.get("sentinel_user", ""), own.get("sentinel_password", "")
    given = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    options = [(key, value) for key, value in server if key not in _OF_SERVER]
    return f"{base}://{given}{address}/{_query(options)}"


def _query(options: list[tuple[str, str]]) -> str:
    return f"?{urlencode(options)}" if options else ""
