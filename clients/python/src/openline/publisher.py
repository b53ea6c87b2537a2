"""Publishing and reading over HTTP, for threads. `AsyncPublisher` is the same for asyncio and Trio."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import httpx2

from openline import calls, deliveries, http
from openline.batches import Batch
from openline.calls import Answer, Call, Item
from openline.credentials import credentials
from openline.deliveries import Delivery, Outcome
from openline.errors import OpenlineError
from openline.publishing import DISCONNECTED, Publishing
from openline.retries import Attempts, Policy
from openline.signing import SigningKey
from openline.types import ChannelPage, Draft, History, Position, PresencePage, Published


class Publisher(Publishing):
    """A back end's door to Openline. Safe for threads; after a fork the child opens connections of its own.

    Each message has a key before its first try, so a retry never stores it twice. What the server refuses for good is
    raised at once as `OpenlineError`; what may pass (no connection, no answer within `timeout` seconds, 429, 502-504)
    is tried up to `attempts` times within `patience` seconds.

    What is not given comes from OPENLINE_URL, OPENLINE_CLIENT_ID and OPENLINE_CLIENT_SECRET, or OPENLINE_TOKEN.
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
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        found = credentials(
            url, client_id=client_id, client_secret=client_secret, token=token, key=key
        )
        super().__init__(found, Policy(timeout, attempts, patience))
        self._transport = transport
        self._connect()
        _FORKED.add(self)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------- publishing

    def publish(
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
        delivery = self._deliver([calls.item(draft, key=deliveries.new_key())])
        return _good(delivery.outcomes[0])

    def publish_many(self, messages: Iterable[Draft]) -> list[Outcome]:
        """Publish any number, in order, in calls of up to 1,000 messages; one `Published` or error a message.

        When the server cannot be reached, or refuses the caller, all that follows has that error and was not sent.
        """
        return self._deliver_all(deliveries.checked(messages))

    def broadcast(
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
        return self._deliver_all(deliveries.checked(drafts), build=calls.broadcast)

    def notify(self, topic: str, **fields: Any) -> Published:
        """Publish an object of these fields to `notify:{topic}`; `type` and `timestamp` are added where missing."""
        draft = calls.notification(topic, fields, now=time.time())
        return self.publish(draft.channel, draft.data)

    def to_user(
        self, user: str, data: Any, *, key: str | None = None, conflate_key: str | None = None
    ) -> Published:
        """Publish to all connections of a user, those of the next days included: to the channel `user:{user}`."""
        return self.publish(f"user:{user}", data, key=key, conflate_key=conflate_key)

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Collect messages in a `with` block; its end sends them together. Nothing is sent when it raises."""
        batch = Batch()
        yield batch
        batch.settle(self.publish_many(batch))

    # --------------------------------------------------------------------------------------- reading and control

    def history(
        self,
        channel: str,
        *,
        since: Position | None = None,
        limit: int = 100,
        reverse: bool = False,
    ) -> History[Any]:
        """Up to 500 stored messages: after `since`, or from the oldest; newest first when reversed."""
        call = calls.history(channel, since=since, limit=limit, reverse=reverse)
        return calls.history_of(self._ask(call), channel)

    def presence(self, channel: str, *, cursor: str | None = None) -> PresencePage:
        """Who is in the channel: a page of up to 1,000."""
        return calls.presence_of(self._ask(calls.presence(channel, cursor=cursor)))

    def channels(self, prefix: str = "", *, cursor: str | None = None) -> ChannelPage:
        """Channels that have subscribers, by name: a page."""
        return calls.channels_of(self._ask(calls.channels(prefix, cursor=cursor)))

    def disconnect(
        self,
        *,
        user: str | None = None,
        connection: str | None = None,
        code: int = DISCONNECTED,
        reason: str = "",
    ) -> None:
        """Close all connections of a user, or one connection, with a code from 4000 to 4099."""
        call = calls.disconnect(user=user, connection=connection, code=code, reason=reason)
        calls.read(self._ask(call))

    def drain_node(self, node: str) -> int:
        """Have a gateway take no more clients and move those it has to the others; how many connections it had.

        It stays drained until `undo_drain`, or its end. Raises OpenlineError: `not_found` for a name that no living gateway
        has, `conflict` when no other one takes clients.
        """
        return calls.connections_of(self._ask(calls.drain(node)))

    def undo_drain(self, node: str) -> int:
        """Have a gateway take clients again; how many connections it has. Raises OpenlineError (`not_found`)."""
        return calls.connections_of(self._ask(calls.undo_drain(node)))

    # ----------------------------------------------------------------------------------------------------- tokens

    def token(
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
        return str(calls.read(self._ask(call))["token"])

    def ticket(self, token: str) -> str:
        """A ticket that stands for a token in a URL, once and for 30 s."""
        return str(calls.read(self._ask(calls.ticket(token)))["ticket"])

    # ---------------------------------------------------------------------------------------------------- sending

    def _connect(self) -> None:
        """Begin with connections and locks of our own."""
        self._http = httpx2.Client(**http.options(self.url), transport=self._transport)
        self._renewing = threading.Lock()

    def _deliver_all(
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
            delivery = self._deliver(chunk, build=build)
            outcomes += delivery.outcomes
            given_up = delivery.given_up
        return outcomes

    def _deliver(
        self,
        chunk: Sequence[Item | OpenlineError],
        *,
        build: Callable[[Sequence[Item]], Call] = calls.publish,
    ) -> Delivery:
        delivery = Delivery(chunk, attempts=self._attempts(), build=build)
        while call := delivery.call():
            try:
                answer = self._try(call, delivery.attempts)
                wait = delivery.answered(answer, time.monotonic())
            except OpenlineError as error:
                wait = delivery.failed(error, time.monotonic())
            if wait:
                time.sleep(wait)
        return delivery

    def _ask(self, call: Call) -> Answer:
        """The answer of a call that may be repeated. Raises OpenlineError when it is refused."""
        attempts = self._attempts()
        while True:
            try:
                answer = self._try(call, attempts)
                calls.read(answer)
            except OpenlineError as error:
                wait = attempts.wait(error, time.monotonic())
                if wait is None:
                    raise
                time.sleep(wait)
            else:
                return answer

    def _try(self, call: Call, attempts: Attempts) -> Answer:
        if not call.authorized:
            return self._request(call, "", attempts)
        token = self._token(attempts)
        answer = self._request(call, token, attempts)
        if self._forgot(token, answer):
            # One that is new says whether we were refused, or it alone.
            answer = self._request(call, self._token(attempts), attempts)
        return answer

    def _token(self, attempts: Attempts) -> str:
        """Our access token; one thread renews it, the others wait."""
        if self._access.fresh(time.monotonic()):
            return self._access.value
        with self._renewing:
            if not self._access.fresh(time.monotonic()):
                self._renew(attempts)
            return self._access.value

    def _renew(self, attempts: Attempts) -> None:
        if self._needs_no_login():
            return
        try:
            answer = self._request(calls.grant(self._login()), "", attempts)
            self._access.keep(*calls.granted(answer), time.monotonic())
        except OpenlineError as error:
            self._use_on(error)

    def _request(self, call: Call, token: str, attempts: Attempts) -> Answer:
        try:
            response = self._http.request(
                call.method,
                call.path,
                content=call.body or None,
                headers=call.headers(token),
                timeout=attempts.timeout(time.monotonic()),
            )
        except httpx2.RequestError as error:
            raise http.unreachable(self.url, error) from error
        return http.answer(response)


def _good(outcome: Outcome) -> Published:
    if isinstance(outcome, OpenlineError):
        raise outcome
    return outcome


_FORKED: weakref.WeakSet[Publisher] = weakref.WeakSet()


def _forked() -> None:
    """In a child: two processes on one connection would read each other's answers, and its locks may be held."""
    for publisher in list(_FORKED):
        publisher._connect()  # noqa: SLF001 - our own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
