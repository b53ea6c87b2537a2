"""Lets clients/scenarios/run.py play the server to this client: commands on standard input, what it tells on standard output."""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import count
from typing import Any, Literal

from openline import Client, Lost, Message, OpenlineError, Recovered
from openline.types import Reason

Command = dict[str, Any]


def tell(**line: Any) -> None:
    """One line, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Adapter:
    """One client, and the tasks that do what was asked."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self.given: str | None = None
        self.waiting: list[Command] = []
        self.readers: dict[str, asyncio.Task[None]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.calls = count(1)

    async def connect(self, command: Command) -> None:
        """Make the client, and do what came before."""
        self.given = command.get("token")
        anonymous = "token" in command and self.given is None
        self.client = Client(
            command["url"],
            token=None if anonymous else self.token,
            backoff=(0.1, 0.5),
            probe=0,
            proxy=None,
        )
        await self.client.__aenter__()
        self.spawn(self.watch())
        waiting, self.waiting = self.waiting, []
        for earlier in waiting:
            await self.do(earlier)

    def token(self, reason: Reason) -> str:
        """The next token, or what is to be given in its place."""
        tell(token=reason)
        return f"token-{next(self.calls)}" if self.given is None else self.given

    async def watch(self) -> None:
        """Tell the connection's end."""
        assert self.client is not None
        while self.client.state not in ("failed", "closed"):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        if self.client.state == "failed":
            error = self.client.error
            assert error is not None
            tell(failed={"code": error.code, "close": error.close})

    async def read(self, name: str, last: int) -> None:
        """Tell what comes in a channel."""
        assert self.client is not None
        try:
            async with self.client.channel(name, last=last) as channel:
                async for event in channel.events():
                    self.told(name, event)
        except OpenlineError as error:
            if self.client.state not in ("failed", "closed"):
                tell(channel_failed={"channel": name, "code": error.code})

    def told(self, name: str, event: object) -> None:
        """One event, if the runner asks for such."""
        match event:
            case Message():
                fields: dict[str, Any] = {"data": event.data, "recovered": event.recovered}
                if event.offset is not None:
                    fields["offset"] = event.offset
                if event.skipped:
                    fields["skipped"] = event.skipped
                tell(message={"channel": name, **fields})
            case Lost():
                tell(lost={"channel": name, "reason": event.reason})
            case Recovered():
                tell(recovered={"channel": name, "count": event.count})

    async def publish(self, command: Command) -> None:
        """Publish, and tell what became of it."""
        assert self.client is not None
        try:
            published = await self.client.publish(
                command["channel"], command["data"], echo=command.get("echo", True)
            )
        except OpenlineError as error:
            tell(rejected={"tag": command["tag"], "code": error.code})
        else:
            fields = {"offset": published.offset, "duplicate": published.duplicate}
            tell(published={"tag": command["tag"], **fields})

    def spawn(self, work: Any) -> asyncio.Task[None]:
        """Do it beside the rest."""
        task: asyncio.Task[None] = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def do(self, command: Command) -> None:
        """One command of the runner."""
        verb: Literal["connect", "subscribe", "release", "publish", "close"] = command["do"]
        if verb == "connect":
            await self.connect(command)
        elif self.client is None:
            self.waiting.append(command)
        elif verb == "subscribe":
            name = command["channel"]
            self.readers[name] = self.spawn(self.read(name, command.get("last", 0)))
        elif verb == "release":
            self.readers.pop(command["channel"]).cancel()
        elif verb == "publish":
            self.spawn(self.publish(command))
        elif verb == "close":
            await self.client.__aexit__(None, None, None)


async def main() -> None:
    """Read commands until there are no more."""
    adapter, lines = Adapter(), asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        await adapter.do(json.loads(line))


if __name__ == "__main__":
    asyncio.run(main())
