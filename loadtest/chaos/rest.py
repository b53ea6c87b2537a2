"""What a system says of its channels when it is at rest: their logs, and who is in them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

import httpx2

_PAGE = 500
_SETTLE = 40.0
"""Seconds for who is gone to be gone from presence: a lease, the grace of a leave, and some for a busy machine."""


class Api:
    """The back end's side of a system."""

    def __init__(self, url: str, login: Mapping[str, str]) -> None:
        self._http = httpx2.AsyncClient(base_url=url, timeout=15)
        self._login = login

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def rest(
        self, channels: Sequence[str], present: Mapping[str, Sequence[str]]
    ) -> dict[str, Any]:
        """As `histories.read` takes it. Who is present is asked until it is as it should be, or time is up."""
        await self._log_in()
        members = {}
        for channel in channels:
            members[channel] = {"presence": await self._settled(channel, present[channel])}
        logs = {channel: await self._log(channel) for channel in channels}
        return {"logs": logs, "members": members, "present": present}

    async def disconnect(self, user: str) -> None:
        """Close a user's connections; a system that refuses that now is not asked again."""
        with contextlib.suppress(httpx2.HTTPError):
            await self._log_in()
            await self._http.post(f"/v1/users/{user}/disconnect", json={})

    async def _log_in(self) -> None:
        form = {"grant_type": "client_credentials", **self._login}
        answer = await self._http.post("/auth/token", data=form)
        answer.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    async def _ask(self, path: str, **query: Any) -> dict[str, Any]:
        """The answer. A store that is away for a moment, as that of a busy machine may be, is waited for."""
        end = asyncio.get_running_loop().time() + _SETTLE
        while True:
            answer = await self._http.get(path, params=query)
            if (
                answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE
                or asyncio.get_running_loop().time() > end
            ):
                break
            await asyncio.sleep(0.5)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    async def _settled(self, channel: str, expected: Sequence[str]) -> list[str]:
        end = asyncio.get_running_loop().time() + _SETTLE
        while True:
            users = await self._users(channel)
            if users == sorted(expected) or asyncio.get_running_loop().time() > end:
                return users
            await asyncio.sleep(0.5)

    async def _users(self, channel: str) -> list[str]:
        """The user of each connection that is present."""
        users: list[str] = []
        query: dict[str, Any] = {}
        while True:
            page = await self._ask(f"/v1/channels/{channel}/presence", **query)
            users += [member["user"] for member in page["members"]]
            if page["cursor"] is None:
                return sorted(users)
            query = {"cursor": page["cursor"]}

    async def _log(self, channel: str) -> tuple[str, list[tuple[int, str]]]:
        """Epoch of the head, and offset and id of each message."""
        found: list[tuple[int, str]] = []
        query: dict[str, Any] = {}
        while True:
            page = await self._ask(
                f"/v1/channels/{channel}/messages", reverse=1, limit=_PAGE, **query
            )
            found += [(one["offset"], one["data"]["id"]) for one in page["messages"]]
            if not page["more"]:
                return page["epoch"], found[::-1]
            query = {"since": f"{page['epoch']}:{found[-1][0]}"}
