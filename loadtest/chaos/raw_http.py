"""Plain clients over HTTP: SSE of several channels, and a back end that publishes."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import httpx2

from loadtest.chaos.raw_reader import Entry, LineLostError, Reader, now

_SILENCE = 45.0
_CONNECT = 10.0
_AGAIN = 0.5
_PATIENCE = httpx2.Timeout(_CONNECT, read=_SILENCE)


class Stream(Reader):
    """SSE of several channels, which comes back with the id of the last event, as a browser does."""

    kind = "sse"

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._cursor = ""
        self._until: dict[str, tuple[str, int]] = {}
        """Where it stood when it came back to a place before: what comes up to there it has."""

    async def once(self) -> None:
        """As `Reader.once`."""
        query = [("channel", name) for name in self.names] + [("token", await self.token())]
        headers = {"Last-Event-ID": self._cursor} if self._cursor else {}
        async with (
            httpx2.AsyncClient(timeout=_PATIENCE) as http,
            http.stream("GET", f"{self.url}/sse", params=query, headers=headers) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise LineLostError(f"{response.status_code}")
            self.connected()
            block: dict[str, str] = {}
            async for line in response.aiter_lines():
                await self.may_read()
                if line:
                    name, _, value = line.partition(":")
                    block[name] = value.removeprefix(" ")
                elif block:
                    self._hear(block)
                    block = {}

    def _hear(self, block: dict[str, str]) -> None:
        if "data" in block:
            self._take(block.get("event", ""), json.loads(block["data"]))
        if block.get("id"):
            self._cursor = block["id"]

    def _take(self, event: str, told: dict[str, Any]) -> None:
        channel: str = told.get("channel", "")
        if channel not in self.names:
            if event == "problem":
                raise LineLostError(told["code"])
            return
        if event == "subscribed":
            self._rejoined(channel, told)
        elif event == "message" and "offset" in told:
            epoch, offset = self._until.get(channel, ("", 0))
            if epoch != self.at.get(channel, ("", 0))[0] or told["offset"] > offset:
                self._until.pop(channel, None)
                self.got(channel, told)
        elif event == "reset":
            self._until.pop(channel, None)
            self.lost(channel, told, told["reason"])
        elif event in ("join", "leave"):
            self.passed(event, channel, told)

    def _rejoined(self, channel: str, told: dict[str, Any]) -> None:
        self._until.pop(channel, None)
        if told.get("recovered") and channel in self.at:
            self._until[channel] = self.at[channel]
        self.joined(channel, told)


class HttpPublisher:
    """A back end. With a key it tries again until it is answered; without one it tries once."""

    def __init__(self, told: dict[str, Any], number: int, *, keyed: bool) -> None:
        self.name = f"http-{'keyed' if keyed else 'once'}-{number}"
        self._told = told
        self._keyed = keyed
        self._names: list[str] = told["channels"]
        self._http = httpx2.AsyncClient(base_url=told["url"], timeout=5)
        self._bearer = ""
        self._count = 0
        self.sent: list[Entry] = []
        self.refused: list[Entry] = []
        self.denied: list[Entry] = []
        self.waiting: dict[str, tuple[str, int]] = {}

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def publish(self, going: Callable[[], bool]) -> None:
        """Go on as long as told; the pauses differ."""
        async with asyncio.TaskGroup() as group:
            while going():
                name = self._names[self._count % len(self._names)]
                group.create_task(self._deliver(name, f"{self.name}:{self._count}"))
                self._count += 1
                pause = self._told["every"] / 1000 * random.uniform(0.5, 1.5)  # noqa: S311
                await asyncio.sleep(pause)

    async def _deliver(self, channel: str, key: str) -> None:
        begun = now()
        self.waiting[key] = (channel, begun)
        while True:
            code, answer = await self._try(channel, key)
            if not code:
                place = [answer["epoch"], answer["offset"]]
                self.sent.append([channel, key, *place, True, begun, now()])
                break
            if code == "unauthorized":
                self._bearer = ""
            if not self._keyed:
                self.denied.append([channel, key, code, now()])
                break
            await asyncio.sleep(_AGAIN)
        del self.waiting[key]

    async def _try(self, channel: str, key: str) -> tuple[str, dict[str, Any]]:
        """What the answer says is wrong, empty for nothing, and the answer."""
        body = {"data": {"id": key}, **({"key": key} if self._keyed else {})}
        try:
            self._bearer = self._bearer or await self._log_in()
            answer = await self._http.post(
                f"/v1/channels/{channel}/messages",
                json=body,
                headers={"Authorization": f"Bearer {self._bearer}"},
            )
            told = answer.json()
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            return type(error).__name__, {}
        if answer.status_code == httpx2.codes.CREATED:
            return "", told
        return told.get("code", str(answer.status_code)), told

    async def _log_in(self) -> str:
        form = {"grant_type": "client_credentials", **self._told["login"]}
        answer = await self._http.post("/auth/token", data=form)
        token: str = answer.json()["access_token"]
        return token

    def report(self) -> dict[str, Any]:
        """What the checker reads."""
        return {
            "name": self.name,
            "channels": {},
            "sent": self.sent,
            "refused": self.refused,
            "denied": self.denied,
            "waiting": self.waiting,
            "away": [],
            "arrivals": [],
        }
