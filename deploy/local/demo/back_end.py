"""What a visitor has no back end for: a feed of two hundred messages a second, and notifications."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from contextlib import suppress
from typing import Any

import httpx2
import structlog

from deploy.local.demo.running import Running

CHANNEL = "live:demo"
RATE = 200
"""Messages a second."""

SECONDS = 30.0
"""For so long the feed goes on after it was asked for; a page that shows it asks again before."""

_TURNS = 20
_EARLY = 60.0

log = structlog.get_logger(__name__)


class Caller:
    """Calls the publisher of the run with a token of its demo client."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._http = httpx2.AsyncClient(timeout=5, trust_env=False)
        self._token = ""
        self._until = 0.0

    async def publish(self, messages: list[dict[str, Any]]) -> None:
        """Publish at most 1,000 messages in one call. Raises httpx2.HTTPError, OSError while the run is not up."""
        back_end = self._running.back_end()
        headers = {"Authorization": f"Bearer {await self._valid()}"}
        answer = await self._http.post(
            f"{back_end.publisher}/v1/messages", json={"messages": messages}, headers=headers
        )
        answer.raise_for_status()

    async def close(self) -> None:
        """End its connections."""
        await self._http.aclose()

    async def _valid(self) -> str:
        if time.monotonic() > self._until:
            back_end = self._running.back_end()
            answer = await self._http.post(
                f"{back_end.auth}/auth/token",
                data={"grant_type": "client_credentials"},
                auth=(back_end.client, back_end.secret),
            )
            answer.raise_for_status()
            granted = answer.json()
            self._token = granted["access_token"]
            self._until = time.monotonic() + granted["expires_in"] - _EARLY
        return self._token


class Feed:
    """RATE messages a second, in TURNS calls, for as long as somebody has asked within the last SECONDS."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)

    def ask(self) -> None:
        """Feed, or go on feeding."""
        self._until = time.monotonic() + SECONDS
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End it."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        due = time.monotonic()
        while due < self._until:
            try:
                await self._caller.publish([self._message() for _ in range(RATE // _TURNS)])
            except (httpx2.HTTPError, OSError) as error:
                log.warning("feed_failed", error=str(error) or type(error).__name__)
            due = max(
                due + 1 / _TURNS, time.monotonic() - 1
            )  # no more than a second is made up for
            await asyncio.sleep(due - time.monotonic())

    def _message(self) -> dict[str, Any]:
        number = next(self._numbers)
        return {
            "channel": CHANNEL,
            "data": {"n": number, "value": value(number), "sent": time.time() * 1000},
            "ephemeral": True,
        }


def value(number: int) -> float:
    """A curve that is nice to look at, from 0 to 100: it depends on the number alone."""
    slow, middle, fast = (math.sin(number / period) for period in (170, 61, 9))
    return round(50 + 24 * slow + 14 * middle + 4 * fast, 2)
