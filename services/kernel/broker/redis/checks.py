"""What a server must be to hold our data: checked by the first connection that a partition makes to it."""

from __future__ import annotations

import logging
import re
from typing import Any

from redis.exceptions import NoPermissionError

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.pipe import Pipe

OLDEST = (7, 0)
"""The Redis version from which a stream counts its own ids (`0-*`) and scripts carry flags."""

_IN_SCRIPTS = (
    "#!lua flags=allow-oom,no-writes\nredis.call('TIME')\nreturn redis.call('INFO', 'replication')"
)
"""What each script of ours asks of its server."""

_WRITING = """#!lua flags=allow-oom
local id = redis.call('XADD', KEYS[1], '0-*', 'f', 'v')
redis.call('DEL', KEYS[1])
return id
"""
"""How each writing script of ours uses a stream."""

_UNKNOWN = ("shebang", "flag", "stream id", "compiling script", "unknown command", "syntax")
"""Of the refusals of that by a server that only looks like Redis 7; others may pass, such as for lack of a replica."""

ROOM = 10
"""Further services that should find room among a server's connections: as many as a rolling update may begin at once."""

CONNECTIONS = 3
"""That a service holds for each partition."""

_FORBIDDEN = (
    "can't run this command",
    "unknown redis command",
    "not allowed from script",
    "acl failure",
)
"""Of the refusals of a script for what it calls; versions and other servers say it each in its own way."""

_RUN_ID = re.compile(rb"run_id:(\w+)")

_log = logging.getLogger(__name__)


class ServerChecks:
    """Refuses servers that cannot hold our data, and warns once of each that is set up badly."""

    def __init__(
        self, *, trusted_restart: bool, partitions: int = 1, cluster: bool = False
    ) -> None:
        """`partitions` are those that live at the server."""
        self._partitions = partitions
        self._cluster = cluster
        self._trusted_restart = trusted_restart
        self._known: set[bytes] = set()
        """Runs of servers that were warned of: partitions share a server."""

    async def check(self, pipe: Pipe, probe: str) -> None:
        """Refuse a server that can never serve. `probe` is a key of the partition that nobody uses.

        Raises ConfigurationError, or RedisError and OSError when it does not answer.
        """
        (
            scripts,
            writing,
            server,
            clients,
            replication,
            policy,
            aof,
            fsync,
            coverage,
        ) = await pipe.ask(
            ("EVAL", _IN_SCRIPTS, 0),
            ("EVAL", _WRITING, 1, probe),
            ("INFO", "server"),
            ("INFO", "clients"),
            ("INFO", "replication"),
            ("CONFIG", "GET", "maxmemory-policy"),
            ("CONFIG", "GET", "appendonly"),
            ("CONFIG", "GET", "appendfsync"),
            ("CONFIG", "GET", "cluster-require-full-coverage"),
        )
        if not isinstance(server, Exception):
            _check_version(server)
        _check_scripts(scripts)
        if isinstance(server, Exception):
            raise server
        _check_replication(replication)
        _check_writing(writing)
        _check_policy(policy)
        if self._trusted_restart:
            safe = _value(aof) == b"yes" and _value(fsync) == b"always"
            _check_trust(replication, safe=safe)
        if self._is_new(server):
            _warn(aof, coverage if self._cluster else None)
            _warn_of_clients(clients, self._partitions)

    def _is_new(self, server: bytes) -> bool:
        """Whether it is the first partition's check of this run of the server."""
        run = _RUN_ID.search(server)
        new = run is None or run[1] not in self._known
        if run is not None:
            self._known.add(run[1])
        return new


def _check_scripts(reply: Any) -> None:
    """Refuse a server whose scripts cannot tell one life of the data from the next: each publish would fail."""
    if not isinstance(reply, Exception):
        return
    text = str(reply).lower()
    if isinstance(reply, NoPermissionError) or any(word in text for word in _FORBIDDEN):
        raise ConfigurationError(
            "scripts may not call INFO and TIME on this Redis: give the user of OPENLINE_REDIS_URL"
            " +info +time +eval +evalsha +script, or take a server that lets scripts call them"
        ) from reply
    raise reply


def _check_writing(reply: Any) -> None:
    """Refuse a server that runs no script of ours that writes, whatever version it calls itself."""
    if isinstance(reply, Exception) and any(word in str(reply).lower() for word in _UNKNOWN):
        raise ConfigurationError(
            "this server does not count a stream's ids in scripts (XADD 0-*, flag allow-oom):"
            " point OPENLINE_REDIS_URL at Redis 7.0 or newer, or Valkey"
        ) from reply


def _check_version(server: bytes) -> None:
    version = re.search(rb"redis_version:(\d+)\.(\d+)", server)
    if version is not None and (int(version[1]), int(version[2])) < OLDEST:
        raise ConfigurationError(
            f"Redis {version[1].decode()}.{version[2].decode()} is too old:"
            " point OPENLINE_REDIS_URL at Redis 7.0 or newer, or Valkey"
        )


def _check_replication(replication: bytes) -> None:
    if b"role:master" not in replication:
        raise ConfigurationError("this Redis is a replica: point OPENLINE_REDIS_URL at the master")
    if not re.search(rb"^master_replid:[0-9a-f]+", replication, re.MULTILINE):
        raise ConfigurationError(
            "this server's INFO replication names no master_replid, by which losses are noticed:"
            " point OPENLINE_REDIS_URL at Redis 7.0 or newer, or Valkey, without a proxy that hides it"
        )


def _check_policy(policy: Any) -> None:
    """Refuse a server that evicts; one that hides its settings is taken at its word."""
    if _value(policy) not in (b"noeviction", None):
        raise ConfigurationError(
            "Redis may evict our data: set maxmemory-policy noeviction in its configuration"
        )


def _check_trust(replication: bytes, *, safe: bool) -> None:
    if not safe or b"connected_slaves:0" not in replication:
        raise ConfigurationError(
            "OPENLINE_TRUSTED_RESTART is only for one Redis without replicas:"
            " set appendonly yes and appendfsync always, or unset it"
        )


def _value(setting: Any) -> bytes | None:
    """The value in a CONFIG GET reply."""
    return setting[1] if isinstance(setting, list) and len(setting) == 2 else None  # noqa: PLR2004 - name, value


def _warn(aof: Any, coverage: Any) -> None:
    if _value(aof) == b"no":
        _log.warning(
            "append_only_file_disabled",
            extra={"loses": "all history at a restart", "fix": "set appendonly yes"},
        )
    if _value(coverage) == b"yes":
        _log.warning(
            "full_coverage_required",
            extra={
                "loses": "all partitions while one has no master",
                "fix": "set cluster-require-full-coverage no on every node",
            },
        )


def _warn_of_clients(clients: Any, partitions: int) -> None:
    """Of a server whose connections may be used up: what comes then finds none, also while services are replaced."""
    if not isinstance(clients, bytes):
        return
    found = dict(line.split(b":", 1) for line in clients.split() if b":" in line)
    most, now = int(found.get(b"maxclients", 0)), int(found.get(b"connected_clients", 0))
    needed = now + ROOM * CONNECTIONS * partitions
    if 0 < most < needed:
        _log.warning(
            "redis_connection_room_doubted",
            extra={"most": most, "now": now, "fix": f"set maxclients {max(10_000, 2 * needed)}"},
        )
