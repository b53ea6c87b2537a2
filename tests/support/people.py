"""Who talks to a running stack in tests: its demo users, and the back end's client with every scope."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, Self, TypeVar

import httpx2

from tests.support.lived import Lived
from tests.support.wire import WireClient

T = TypeVar("T")

# By run and name, until when: logging in once a test would be more than an address may do in a minute.
_tokens: dict[str, dict[str, tuple[float, str]]] = {}


class People:
    """Tokens, HTTP calls and sockets of a stack, described by the content of its run.json."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        self.run = run
        self.front_door: str = run["front_door"]
        self.http = httpx2.AsyncClient(base_url=self.front_door, timeout=30)
        self._tokens = _tokens.setdefault(f"{self.front_door} {run['pids']['supervisor']}", {})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def token(self, username: str) -> str:
        """A demo user's access token."""
        if not self._holds(username):
            user = next(u for u in self.run["users"] if u["username"] == username)
            self._tokens[username] = await self._granted(grant_type="password", **user)
        return self._tokens[username][1]

    async def backend(self) -> str:
        """The access token of the client that holds every scope."""
        if not self._holds("/backend"):
            client = self.run["clients"][0]
            self._tokens["/backend"] = await self._granted(
                grant_type="client_credentials",
                client_id=client["client_id"],
                client_secret=client["client_secret"],
            )
        return self._tokens["/backend"][1]

    async def minted(self, sub: str, **fields: Any) -> str:
        """A connect token for any user."""
        answer = await self.call("POST", "/auth/connect-tokens", json={"sub": sub, **fields})
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token

    async def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """An HTTP call of the back end through the front door."""
        headers = {"authorization": f"Bearer {await self.backend()}"} | options.pop("headers", {})
        return await self.http.request(method, path, headers=headers, **options)

    async def publish(self, channel: str, data: Any, **fields: Any) -> Any:
        """Publish over HTTP and demand that it was stored."""
        answer = await self.call(
            "POST", f"/v1/channels/{channel}/messages", json={"data": data, **fields}
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def counted(self, prefix: str, subscribers: int, *, patience: float = 20) -> None:
        """Wait until the store counts so many subscriptions of the channels with a prefix: gateways report theirs."""
        async with asyncio.timeout(patience):
            counts = [-1]
            while sum(counts) != subscribers:
                await asyncio.sleep(0.05)
                counts = [entry["subscribers"] async for entry in self.channels(prefix)]

    async def nodes(self) -> list[dict[str, Any]]:
        """What the gateways tell of themselves."""
        nodes: list[dict[str, Any]] = (await self.call("GET", "/v1/nodes")).json()["nodes"]
        return nodes

    async def answer(self) -> None:
        """Until the gateways answer, and the publisher and the store, one after the other: what Lived looks at."""
        for gateway in self.run["gateways"]:
            await self.http.get(f"{gateway}/healthz")
        await self.nodes()

    async def soon(self, awaited: Awaitable[T], within: float, *, beside: int | None = None) -> T:
        """What must come within so many seconds in which the system did not stand still; of it, with `beside`, this gateway."""
        url = None if beside is None else f"{self.run['gateways'][beside]}/healthz"
        async with Lived(self.answer if url is None else lambda: self.http.get(url)) as lived:
            come = await awaited
            assert lived.seconds < within
        return come

    async def channels(self, prefix: str) -> AsyncIterator[dict[str, Any]]:
        """All channels with a prefix that have subscribers, page by page."""
        query = {"prefix": prefix}
        while True:
            answer = await self.call("GET", "/v1/channels", params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            for entry in page["channels"]:
                yield entry
            if page["cursor"] is None:
                return
            query["cursor"] = page["cursor"]

    def ws(self, gateway: int | None = None, path: str = "/ws") -> str:
        """The socket address of a gateway by its number, or of the front door."""
        base = self.front_door if gateway is None else self.run["gateways"][gateway]
        return base.replace("http", "ws", 1) + path

    async def connect(
        self, username: str, *, gateway: int | None = None, **options: Any
    ) -> WireClient:
        """A user's connection, through the front door or straight to one gateway."""
        return await WireClient.open(self.ws(gateway), await self.token(username), **options)

    def _holds(self, name: str) -> bool:
        return name in self._tokens and time.monotonic() < self._tokens[name][0]

    async def _granted(self, **form: str) -> tuple[float, str]:
        answer = await self.http.post("/auth/token", data=form)
        assert answer.status_code == 200, answer.text
        granted = answer.json()
        return time.monotonic() + granted["expires_in"] / 2, granted["access_token"]
