"""What `OPENLINE_REDIS_URL` says: the server itself, or the Sentinels that know where it is. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

SENTINEL_PORT = 26379
MOST_SENTINELS = 15
SCHEMES = ("redis+sentinel", "rediss+sentinel")
FORM = "redis+sentinel://user:password@host1:26379,host2,host3/NAME/db"
"""What a URL of Sentinels looks like, for messages."""

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
    """`server` is a URL as redis-py reads it. With `sentinels`, these know the address of the master called `name`."""

    server: str
    sentinels: tuple[Sentinel, ...] = ()
    name: str = ""


def parse(url: str) -> StoreUrl:
    """The parts of a URL; one that names no Sentinels is left as it is.

    Raises ValueError, which says what is wrong and shows no part of the URL: it may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        return StoreUrl(url)
    authority, path, query = _split(rest)
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
            for address in _addresses(hosts)
        ),
        name,
    )


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


def _addresses(hosts: str) -> list[Address]:
    found = [_address(host.strip()) for host in hosts.split(",")]
    if len(found) > MOST_SENTINELS:
        raise ValueError(f"names more than {MOST_SENTINELS} Sentinels")
    if len(set(found)) < len(found):
        raise ValueError("names a Sentinel twice")
    return found


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":") if _has_port(text) else (text, ":", "")
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isascii() and port.isdigit() else SENTINEL_PORT if not port else 0
    if not host or not 0 < number < 65_536:  # noqa: PLR2004 - ports
        raise ValueError(f"has a Sentinel that is no host:port; its form is {FORM}")
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
