"""Where a client's tokens come from: one call at a time, and none is lost when nobody waits any more."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from openline.errors import Unauthorized
from openline.types import Reason

TokenProvider: TypeAlias = Callable[[Reason], str | Awaitable[str | None] | None]


class Tokens:
    """A token, or a function that gives one. None is a session without a user."""

    def __init__(self, source: str | TokenProvider | None) -> None:
        self._source = source
        self._call: asyncio.Task[str | None] | None = None
        self._kept: tuple[str | None] | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether there will never be another one."""
        return not callable(self._source)

    async def current(self) -> str | None:
        """The newest token; asked for where there is none yet."""
        return self._kept[0] if self._kept is not None else await self.get("first")

    async def get(self, reason: Reason) -> str | None:
        """A new token. Whoever is cancelled leaves the call to the next one. Raises what the function raises.

        Raises Unauthorized when a token that has expired was given as a string, and for what is neither a token nor None;
        TypeError for the latter where there has been a token before, so that the function is asked again.
        """
        if not callable(self._source):
            if reason == "expired":
                raise Unauthorized(
                    "the token has expired; give Client a function that gets new ones"
                )
            self._kept = (self._check(self._source),)
            return self._kept[0]
        if self._call is None:
            self._call = asyncio.create_task(_ask(self._source, reason), name="openline-token")
        call = self._call
        try:
            token = self._check(await asyncio.shield(call))
        finally:
            if self._call is call and call.done():
                self._call = None
        self._kept = (token,)
        return token

    def _check(self, given: object) -> str | None:
        """Anything else would begin a session without a user, unseen."""
        if given is None or (isinstance(given, str) and given):
            return given
        what = repr(given) if given == "" else type(given).__name__
        wrong = f"`token` gave {what}: give a token, or None for none"
        raise Unauthorized(wrong) if self._kept is None else TypeError(wrong)

    async def close(self) -> None:
        """Give up a call that is under way."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)


async def _ask(source: TokenProvider, reason: Reason) -> str | None:
    token = source(reason)
    return await token if inspect.isawaitable(token) else token
