"""The maps of a move: which server has which partitions before and after."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from services.handover.masters import RefusedError
from services.kernel.broker.redis.partitions import Options, Partitions
from services.kernel.ops.settings import Common
from services.kernel.redis import servers
from services.kernel.redis.servers import Server
from services.kernel.redis.store_url import parse

_FILE = "OPENLINE_REDIS_SERVERS_FILE"


@dataclass(frozen=True, slots=True)
class Maps:
    """`partition` is the one that moves, `text` the new file."""

    former: Sequence[Server]
    new: Sequence[Server]
    partition: int
    text: str

    @classmethod
    def of(cls, settings: Common, *, former: Path | None, new: Path) -> Self:
        """The maps in files; without `former` the services' own. Raises RefusedError."""
        if settings.redis_servers is None and former is None:
            raise RefusedError(
                f"partitions move between servers of {_FILE}, and OPENLINE_REDIS_URL is in use: restart all services with"
                " a file that gives all partitions to this server, first"
            )
        before = settings.redis if former is None else _read(settings, "--from", former)[0]
        after, text = _read(settings, "--to", new)
        try:
            partition = servers.moving(before, after)
        except ValueError as error:
            raise RefusedError(f"--to {new} {error}") from None
        for one in (*before, *after):
            if partition in one.partitions and parse(one.url).nodes:
                raise RefusedError(
                    f"partition {partition} lives in a cluster, before or after: inside of one move its slot, by"
                    " CLUSTER MIGRATESLOTS or redis-cli --cluster reshard; to one and from one it cannot be moved"
                )
        return cls(before, after, partition, text)

    @asynccontextmanager
    async def stores(self, settings: Common) -> AsyncIterator[tuple[Partitions, Partitions]]:
        """What leads to the servers of both maps."""
        options = Options(
            trusted_restart=settings.trusted_restart, memory_percent=settings.memory_percent
        )
        both = [
            Partitions(where, options=options, access=settings.redis_access)
            for where in (self.former, self.new)
        ]
        try:
            yield both[0], both[1]
        finally:
            for one in both:
                await one.close()

    async def install(self) -> None:
        """Put the new file in the place of the services' own, which is kept beside it. Raises RefusedError."""
        if not (name := os.environ.get(_FILE)):
            raise RefusedError(f"--install needs {_FILE}: it names the file to replace")
        try:
            await asyncio.to_thread(_replace, Path(name), self.text)
        except OSError as error:
            raise RefusedError(
                f"{name} cannot be replaced: {error.strerror}; leave out --install and replace it yourself"
            ) from error


def _replace(place: Path, text: str) -> None:
    """In one step, for the same readers. Does nothing where the file holds the text already. Raises OSError."""
    if (before := place.read_text("utf-8")) != text:
        _write(place.with_name(place.name + ".former"), before, like=place)
        _write(place, text, like=place)


def _write(place: Path, text: str, *, like: Path) -> None:
    mine, model = place.with_name(f".{place.name}.{secrets.token_hex(4)}"), like.stat()
    try:
        mine.touch(mode=0o600)
        mine.write_text(text, "utf-8")
        os.chown(mine, model.st_uid, model.st_gid)
        mine.chmod(model.st_mode & 0o777)
        mine.replace(place)
    finally:
        mine.unlink(missing_ok=True)


def _read(settings: Common, option: str, path: Path) -> tuple[tuple[Server, ...], str]:
    try:
        text = path.read_text("utf-8")
        return settings.redis_map(text), text
    except OSError as error:
        raise RefusedError(
            f"{option} {path}: {error.strerror}; name a file that can be read"
        ) from None
    except ValueError as error:
        raise RefusedError(f"{option} {path} {error}") from None
