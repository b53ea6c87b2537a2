"""Publishing and reading over HTTP, for asyncio and Trio. `Publisher` is the same for threads."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
import httpx2
from anyio.lowlevel import RunVar

from openline import calls, deliveries, http
from openline.batches import Batch
from openline.calls import Answer, Call, Item
from openline.credentials import credentials
from openline.deliveries import Delivery, Outcome
from openline.errors import OpenlineError
from openline.joining import Joiner, Waiting
from openline.publishing import DISCONNECTED, Publishing
from openline.retries import Attempts, Policy
from openline.signing import SigningKey
from openline.types import ChannelPage, Draft, History, Position, PresencePage, Published


class _Loop:
    """What belongs to one event loop: connections, a lock, and the messages that gather."""

    def __init__(self, http: httpx2.AsyncClient, joiner: Joiner) -> None:
        self.http = http
        self.joiner = joiner
        self.renewing = anyio.Lock()


class AsyncPublisher(Publishing):
    """A back end's door to Openline. Safe for tasks; each event loop has connections of its own, and so has a fork.

    What tasks publish at the same time leaves in one call, and the next one when that has been answered: the order of
    each channel holds, and one bad message fails alone. For the rest it is as `Publisher`.

    Use it as a context manager, or `aclose` it in the loop that used it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        token: str | None = None,
        key: SigningKey | None = None,
        timeout: float = 5.0,
        attempts: int = 4,
        patience: float = 10.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        found = credentials(
            url, client_id=client_id, client_secret=client_secret, token=token, key=key
        )
        super().__init__(found, Policy(timeout, attempts, patience))
        self._transport = transport
        self._loops: RunVar[_Loop | None] = RunVar(f"openline {id(self)}")

    async def aclose(self) -> None:
        """Close the connections of this event loop; whoever publishes later opens new ones."""
        loop = self._loops.get(None)
        if loop is not None:
            self._loops.set(None)
            await loop.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # ------------------------------------------------------------------------------------------------- publishing

    async def publish(
        self,
        channel: str,
        data: Any,
        *,
        key: str | None = None,
        conflate_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        ephemeral: bool = False,
        expect: Position | None = None,
    ) -> Published:
        """Publish to a channel. `data` is JSON, a pydantic model, a dataclass, or bytes.

        `key` makes messages with the same key, on this channel within five minutes, one. `expect` is where the channel
        must stand, else `conflict` with its `position`. `conflate_key` says what the message is the newest of, such as a
        symbol: a reader that falls behind may get the newest message of each. Raises OpenlineError; InvalidData when `data` is not JSON.
        """
        draft = Draft(channel, data, key, tags, ephemeral, expect, conflate_key)
        item = calls.item(draft, key=deliveries.new_key())
        outcome = await self._loop().joiner.deliver(item, time.monotonic())
        if isinstance(outcome, OpenlineError):
            raise outcome
        return outcome

    async def publish_many(self, messages: Iterable[Draft]) -> list[Outcome]:
        """Publish any number, in order, in calls of up to 1,000 messages; one `Published` or error a message.

        When the server cannot be reached, or refuses the caller, all that follows has that error and was not sent.
        """
        return await self._deliver_all(deliveries.checked(messages))

    async def broadcast(
        self,
        channels: Sequence[str],
        data: Any,
        *,
        key: str | None = None,
        conflate_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        ephemeral: bool = False,
    ) -> list[Outcome]:
        """Publish one message in many channels; one `Published` or error a channel."""
        key = key or deliveries.new_key()
        drafts = (
            Draft(channel, data, key, tags, ephemeral, conflate_key=conflate_key)
            for channel in channels
        )
        return await self._deliver_all(deliveries.checked(drafts), build=calls.broadcast)

    async def notify(self, topic: str, **fields: Any) -> Published:
        """Publish an object of these fields to `notify:{topic}`; `type` and `timestamp` are added where missing."""
        draft = calls.notification(topic, fields, now=time.time())
        return await self.publish(draft.channel, draft.data)

    async def to_user(
        self, user: str, data: Any, *, key: str | None = None, conflate_key: str | None = None
    ) -> Published:
        """Publish to all connections of a user, those of the next days included: to the channel `user:{user}`."""
        return await self.publish(f"user:{user}", data, key=key, conflate_key=conflate_key)

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Batch]:
        """Collect messages in an `async with` block; its end sends them together. Nothing is sent when it raises."""
        batch = Batch()
        yield batch
        batch.settle(await self.publish_many(batch))

    # --------------------------------------------------------------------------------------- reading and control

    async def history(
        self,
        channel: str,
        *,
        since: Position | None = None,
        limit: int = 100,
        reverse: bool = False,
    ) -> History[Any]:
        """Up to 500 stored messages: after `since`, or from the oldest; newest first when reversed."""
        call = calls.history(channel, since=since, limit=limit, reverse=reverse)
        return calls.history_of(await self._ask(call), channel)

    async def presence(self, channel: str, *, cursor: str | None = None) -> PresencePage:
        """Who is in the channel: a page of up to 1,000."""
        return calls.presence_of(await self._ask(calls.presence(channel, cursor=cursor)))

    async def channels(self, prefix: str = "", *, cursor: str | None = None) -> ChannelPage:
        """Channels that have subscribers, by name: a page."""
        return calls.channels_of(await self._ask(calls.channels(prefix, cursor=cursor)))

    async def disconnect(
        self,
        *,
        user: str | None = None,
        connection: str | None = None,
        code: int = DISCONNECTED,
        reason: str = "",
    ) -> None:
        """Close all connections of a user, or one connection, with a code from 4000 to 4099."""
        call = calls.disconnect(user=user, connection=connection, code=code, reason=reason)
        calls.read(await self._ask(call))

    async def drain_node(self, node: str) -> int:
        """Have a gateway take no more clients and move those it has to the others; how many connections it had.

        It stays drained until `undo_drain`, or its end. Raises OpenlineError: `not_found` for a name that no living gateway
        has, `conflict` when no other one takes clients.
        """
        return calls.connections_of(await self._ask(calls.drain(node)))

    async def undo_drain(self, node: str) -> int:
        """Have a gateway take clients again; how many connections it has. Raises OpenlineError (`not_found`)."""
        return calls.connections_of(await self._ask(calls.undo_drain(node)))

    # ----------------------------------------------------------------------------------------------------- tokens

    async def token(
        self,
        user: str,
        *,
        channels: Mapping[str, Iterable[str]] | None = None,
        info: Any = None,
        ttl: int = 3600,
    ) -> str:
        """A token for a user to connect with, good for `ttl` seconds; signed here where there is a `key`."""
        signed = self._user_token(user, channels, info, ttl)
        if signed is not None:
            return signed
        call = calls.connect_token(user, channels=channels, info=info, ttl=ttl)
        return str(calls.read(await self._ask(call))["token"])

    async def ticket(self, token: str) -> str:
        """A ticket that stands for a token in a URL, once and for 30 s."""
        return str(calls.read(await self._ask(calls.ticket(token)))["ticket"])

    # ---------------------------------------------------------------------------------------------------- sending

    def _loop(self) -> _Loop:
        """What is ours in this event loop."""
        loop = self._loops.get(None)
        if loop is None:
            client = httpx2.AsyncClient(**http.options(self.url), transport=self._transport)
            loop = _Loop(client, Joiner(self._carry))
            self._loops.set(loop)
        return loop

    async def _carry(self, gathered: Sequence[Waiting]) -> None:
        """Settle what several tasks want to be published, each as soon as its outcome is known."""
        attempts = self._attempts(min(waiting.started for waiting in gathered))
        delivery = Delivery([waiting.item for waiting in gathered], attempts=attempts)
        while call := delivery.call():
            wait = await self._step(delivery, call)
            for number, waiting in enumerate(gathered):
                outcome = delivery.outcome(number)
                if outcome is not None and waiting.outcome is None:
                    waiting.settle(outcome)
            if wait:
                await anyio.sleep(wait)

    async def _deliver_all(
        self,
        items: Iterable[Item | OpenlineError],
        *,
        build: Callable[[Sequence[Item]], Call] = calls.publish,
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        given_up: OpenlineError | None = None
        for chunk in deliveries.chunks(items):
            if given_up is not None:
                outcomes += [deliveries.same(given_up) for _ in chunk]
                continue
            delivery = await self._deliver(chunk, build=build)
            outcomes += delivery.outcomes
            given_up = delivery.given_up
        return outcomes

    async def _deliver(
        self,
        chunk: Sequence[Item | OpenlineError],
        *,
        build: Callable[[Sequence[Item]], Call] = calls.publish,
    ) -> Delivery:
        delivery = Delivery(chunk, attempts=self._attempts(), build=build)
        while call := delivery.call():
            wait = await self._step(delivery, call)
            await anyio.sleep(wait)
        return delivery

    async def _step(self, delivery: Delivery, call: Call) -> float:
        """One try; seconds to wait until the next."""
        try:
            answer = await self._try(call, delivery.attempts)
            return delivery.answered(answer, time.monotonic())
        except OpenlineError as error:
            return delivery.failed(error, time.monotonic())

    async def _ask(self, call: Call) -> Answer:
        """The answer of a call that may be repeated. Raises OpenlineError when it is refused."""
        attempts = self._attempts()
        while True:
            try:
                answer = await self._try(call, attempts)
                calls.read(answer)
            except OpenlineError as error:
                wait = attempts.wait(error, time.monotonic())
                if wait is None:
                    raise
                await anyio.sleep(wait)
            else:
                return answer

    async def _try(self, call: Call, attempts: Attempts) -> Answer:
        if not call.authorized:
            return await self._request(call, "", attempts)
        token = await self._token(attempts)
        answer = await self._request(call, token, attempts)
        if self._forgot(token, answer):
            # One that is new says whether we were refused, or it alone.
            answer = await self._request(call, await self._token(attempts), attempts)
        return answer

    async def _token(self, attempts: Attempts) -> str:
        """Our access token; one task renews it, the others wait."""
        if self._access.fresh(time.monotonic()):
            return self._access.value
        async with self._loop().renewing:
            if not self._access.fresh(time.monotonic()):
                await self._renew(attempts)
            return self._access.value

    async def _renew(self, attempts: Attempts) -> None:
        if self._needs_no_login():
            return
        try:
            answer = await self._request(calls.grant(self._login()), "", attempts)
            self._access.keep(*calls.granted(answer), time.monotonic())
        except OpenlineError as error:
            self._use_on(error)

    async def _request(self, call: Call, token: str, attempts: Attempts) -> Answer:
        seconds = attempts.timeout(time.monotonic())
        try:
            with anyio.fail_after(seconds):
                response = await self._loop().http.request(
                    call.method,
                    call.path,
                    content=call.body or None,
                    headers=call.headers(token),
                    timeout=seconds,
                )
        except (httpx2.RequestError, TimeoutError) as error:
            raise http.unreachable(self.url, error) from error
        return http.answer(response)
