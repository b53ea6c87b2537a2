"""A client: two connections to one server, one for reading and one for writing, whose failures are our errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from services.kernel.redis.connections import Check, Dial, check_master
from services.kernel.redis.errors import translate
from services.kernel.redis.link import Command, Link
from services.kernel.redis.redirects import Guard
from services.kernel.redis.scripts import Script


class Client:
    """Connects when first used. Long replies to reads do not hold up writes.

    `check` looks at each new connection. `demoted` is called when the server turns out not to be the master any more;
    both connections end then, since the address may lead to another one by now.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        check: Check = check_master,
        scripts: Sequence[Script] = (),
        demoted: Callable[[], None] | None = None,
        guard: Guard | None = None,
    ) -> None:
        demoted = demoted or self.reset
        self.writes = Link(dial, check, demoted=demoted, scripts=scripts, guard=guard)
        self.reads = Link(dial, check, demoted=demoted, scripts=scripts, guard=guard)

    async def write(self, *commands: Command, what: str) -> list[Any]:
        """The replies to commands that write, one each. Raises `unavailable`, whose message begins with `what`."""
        return await _values(self.writes, commands, what)

    async def read(self, *commands: Command, what: str) -> list[Any]:
        """The same for commands that only read."""
        return await _values(self.reads, commands, what)

    def reset(self) -> None:
        """End both connections; each is opened again when next used."""
        self.writes.reset()
        self.reads.reset()

    def retire(self) -> None:
        """End both connections once what was sent is answered."""
        self.writes.retire()
        self.reads.retire()

    async def close(self) -> None:
        """Drop both connections and refuse what waits."""
        await self.writes.close()
        await self.reads.close()


async def _values(link: Link, commands: Sequence[Command], what: str) -> list[Any]:
    replies = await link.call(commands)
    for reply in replies:
        if isinstance(reply, Exception):
            raise translate(reply, what=what, retry_after=1) from reply
    return replies
