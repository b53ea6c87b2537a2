"""Openline in a FastAPI application: a publisher for its routes, and tokens for its pages. Needs the extra `fastapi`."""

from __future__ import annotations

import inspect
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Response
from pydantic import BaseModel

from openline.async_publisher import AsyncPublisher
from openline.errors import OpenlineError
from openline.signing import SigningKey

Channels: TypeAlias = Mapping[str, Sequence[str]]
Lifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[Any]]


class RealtimeToken(BaseModel):
    """A token for a page to connect with, and how many seconds it is good for."""

    token: str
    expires_in: int


class Openline:
    """One for an application. Arguments are those of `AsyncPublisher`; it is made when the application starts.

    `app = FastAPI(lifespan=rt.lifespan)`, or `rt.wrap(lifespan)` beside a lifespan of your own.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        key: SigningKey | None = None,
        **options: Any,
    ) -> None:
        self._arguments = {
            "client_id": client_id,
            "client_secret": client_secret,
            "key": key,
            **options,
        }
        self._url = url
        self._publisher: AsyncPublisher | None = None

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Open the publisher with the application and close it with it. Raises OpenlineError (`bad_configuration`)."""
        async with AsyncPublisher(self._url, **self._arguments) as publisher:
            self._publisher = publisher
            try:
                yield
            finally:
                self._publisher = None

    def wrap(self, lifespan: Lifespan) -> Lifespan:
        """A lifespan around your own, which may publish from its first line to its last."""

        @asynccontextmanager
        async def both(app: FastAPI) -> AsyncIterator[Any]:
            async with self.lifespan(app), lifespan(app) as state:
                yield state

        return both

    async def publisher(self) -> AsyncPublisher:
        """A dependency: `push: Annotated[AsyncPublisher, Depends(rt.publisher)]`. Raises RuntimeError."""
        if self._publisher is None:
            raise RuntimeError(
                "Openline has not been started: FastAPI(lifespan=rt.lifespan), or rt.wrap(your lifespan)"
            )
        return self._publisher

    def tokens(
        self,
        current_user: Callable[..., Any],
        *,
        ttl: int = 900,
        channels: Channels | Callable[[Any], Any] | None = None,
        info: Callable[[Any], Any] | None = None,
        subject: Callable[[Any], str] = str,
        path: str = "/realtime-token",
    ) -> APIRouter:
        """A router with `POST /realtime-token`, which the page asks for a token.

        `current_user` is your dependency: it gives the user, or raises; None is answered with 401. `subject` makes the
        `sub` of it. `channels` says what the token allows, `info` what others see in presence: both may be functions
        of the user, `async` ones too. Without `channels` the namespaces decide.
        """
        router = APIRouter()
        # As defaults: annotations are text here, and could not name what is local.
        needs_user, needs_publisher = Depends(current_user), Depends(self.publisher)

        @router.post(path, responses={401: {}, 503: {}})
        async def realtime_token(
            response: Response,
            user: Any = needs_user,
            publisher: AsyncPublisher = needs_publisher,
        ) -> RealtimeToken:
            if user is None:
                raise HTTPException(401, "nobody is signed in")
            allowed = await _of(channels, user) if callable(channels) else channels
            shown = await _of(info, user) if info is not None else None
            try:
                token = await publisher.token(subject(user), channels=allowed, info=shown, ttl=ttl)
            except OpenlineError as error:
                raise _answer(error) from error
            response.headers["Cache-Control"] = "no-store"
            return RealtimeToken(token=token, expires_in=ttl)

        return router


async def _of(function: Callable[[Any], Any], user: Any) -> Any:
    found = function(user)
    return await found if inspect.isawaitable(found) else found


def _answer(error: OpenlineError) -> Exception:
    """What the page is told: to come back later. What will not pass by itself is the application's fault, a 500."""
    if not error.temporary:
        return error
    seconds = str(max(1, math.ceil(error.retry_after or 1)))
    return HTTPException(503, "no token just now; try again", {"Retry-After": seconds})
