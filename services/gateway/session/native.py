"""A session of the native protocol: commands in, acks and events out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from services.gateway.fanout.subscriber import Subscription
from services.gateway.fanout.wire_format import Framed
from services.gateway.hub.port import Joined
from services.gateway.session import publishing, querying, subscribing
from services.gateway.session.authenticating import claims_of, reject
from services.gateway.session.command_queue import CommandQueue
from services.gateway.session.echoes import Echo, Echoes, Verdict
from services.gateway.session.heartbeat import expires
from services.gateway.session.port import Host
from services.gateway.session.returning import NEWCOMER, Returning
from services.gateway.session.session import CROWDED, Session
from services.gateway.websocket import Connection
from services.kernel.broker.port import Published
from services.kernel.domain.codes import Close, Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Kind, Publication
from services.kernel.protocol import commands
from services.kernel.protocol.commands import BadCommand, Command

DUPLICATE_SECONDS = 0.05
"""Between two looks whether the hub has delivered what a duplicate is a duplicate of."""


class NativeSession(Session):
    """Commands take effect in their order: a publish may follow publishes that are still under way, everything else
    waits until they are answered, and what comes behind waits for it.
    """

    __slots__ = (
        "_auth",
        "_barrier",
        "_codec",
        "_echoes",
        "_frame",
        "_publishing",
        "_returning",
        "_waiting",
    )

    def __init__(
        self,
        node: Host,
        connection: Connection,
        wire_format: Framed,
    ) -> None:
        super().__init__(node, connection, wire_format)
        self._codec = wire_format.codec
        self._frame = wire_format.frame
        # Made when needed: most connections never have either.
        self._waiting: CommandQueue | None = None
        self._echoes: Echoes | None = None
        self._publishing = 0
        self._barrier = False
        self._auth: commands.Auth | None = None
        self._returning: Returning | None = None

    # Frames in

    def received_text(self, text: bytes) -> None:
        """A command in JSON."""
        if self._codec.binary:
            self.close(Close.UNSUPPORTED_DATA, "openline.msgpack.v1 takes binary messages")
        else:
            self._handle_frame(text)

    def received_binary(self, data: bytes) -> None:
        """A command in MessagePack."""
        if self._codec.binary:
            self._handle_frame(data)
        else:
            self.close(
                Close.UNSUPPORTED_DATA,
                "send text messages, or offer the subprotocol openline.msgpack.v1",
            )

    def is_quiet(self, since: float) -> bool:
        """See Session; a command, or the answer to one, is waited for otherwise."""
        busy = self._barrier or self._publishing or self._waiting is not None
        return not busy and super().is_quiet(since)

    def _handle_frame(self, frame: bytes) -> None:
        if (too_fast := self.charge(len(frame))) is not None:
            self.refuse(too_fast, id=self._codec.id(frame))
            return
        try:
            wire = self._codec.read(frame)
            publishing.admit(self, wire)
            command = self._codec.command(wire)
        except BadCommand as error:
            self._bad(error)
            return
        self.node.metrics.commands_of[type(command).__name__.lower()].inc()
        if self.opening is not None and not self.opened and not self._barrier:
            self._first(command)
        elif (
            self._barrier
            or self._waiting is not None
            or self.opening is not None
            or self._waits(command)
        ):
            self._enqueue(command, len(frame))
        else:
            self._execute_or_refuse(command)

    def _bad(self, error: BadCommand) -> None:
        if self.opened or self._barrier:
            self.refuse(error, id=error.id)
        else:
            self.close(Close.UNAUTHORIZED, f"the first message must be auth; {error.message}")

    def _enqueue(self, command: Command, size: int) -> None:
        if self._waiting is None:
            self._waiting = CommandQueue()
        try:
            self._waiting.put(command, size)
        except OpenlineError as error:
            self.refuse(error, id=command.id)
        if self._waiting.is_heavy:
            self.connection.pause_reading()

    def _first(self, command: Command) -> None:
        if isinstance(command, commands.Auth):
            self._barrier = True
            self.node.spawn(self._authenticate(command))
        else:
            self.close(Close.UNAUTHORIZED, "the first message must be auth")

    def _pump(self) -> None:
        """Take what waits, as far as it need not wait any longer."""
        commands_waiting = self._waiting
        if commands_waiting is None:
            return
        while len(commands_waiting) and not self._barrier and not self.is_closed:
            if self._waits(commands_waiting.first):
                return
            self._execute_or_refuse(commands_waiting.pop())
        if not len(commands_waiting):
            self._waiting = None
            self.connection.resume_reading()

    def _execute_or_refuse(self, command: Command) -> None:
        try:
            self._execute(command)
        except OpenlineError as error:
            self.refuse(error, id=command.id)

    def _waits(self, command: Command) -> bool:
        """Whether a command has to wait, and all behind it."""
        if isinstance(command, commands.Publish | commands.Typing):
            return False
        if self._publishing:
            return True
        # The answers are large: a client that does not read them gets no more.
        large = isinstance(command, commands.Subscribe | commands.Presence | commands.History)
        return large and self.is_stalled

    def writable(self) -> None:
        """See Session; commands may have waited for it."""
        super().writable()
        if self.opening is None:
            self._pump()

    def _execute(self, command: Command) -> None:
        match command:
            case commands.Publish():
                self._publish(command)
            case commands.Typing():
                publishing.typing(self, command.channel)
                if command.id is not None:
                    self._ack(command.id, {})
            case commands.Ping():
                self.send(self._frame(self._codec.pong(command.id)))
            case commands.Subscribe():
                self._subscribe(command)
            case commands.Unsubscribe():
                self._unsubscribe(command)
            case commands.Auth():
                self._barrier = True
                self.node.spawn(self._renew(command))
            case commands.Presence() | commands.History():
                querying.check(self, command)
                self._barrier = True
                self.node.spawn(self._answer(command))
            case _:  # a pong: that it came is all
                pass

    def _passed(self) -> None:
        """The command that everything waited for is done."""
        self._barrier = False
        self._pump()

    def _ack(self, id: commands.Id, fields: Mapping[str, Any]) -> None:
        self.send(self._frame(self._codec.ack(id, fields)))

    # auth

    async def _authenticate(self, command: commands.Auth) -> None:
        claims = await claims_of(self, command.token)
        self._barrier = False
        if self.is_closed:
            return
        self._auth = command
        self._come_back(command, user=claims.sub if claims else None)
        self.start(claims, command.since)

    @property
    def returning(self) -> Returning:
        """See Session."""
        return self._returning or NEWCOMER

    def _come_back(self, command: commands.Auth, *, user: str | None) -> None:
        """End the connection before, so that it no longer counts. Once: each time may cost the fleet a message."""
        returning = Returning.of(command, anonymous=user is None)
        if returning is None or self._returning is not None:
            return
        self._returning = returning
        if returning.previous not in ("", self.id):
            self.node.end_former(returning.previous, user=user, client=returning.client)

    async def _renew(self, command: commands.Auth) -> None:
        try:
            if command.token is None:
                raise OpenlineError(Code.BAD_REQUEST, "auth on a live connection takes a token")
            claims = await self.node.verify(command.token)
            if not self.is_closed:
                self.renew(claims)
                self._come_back(command, user=self.user)
                self._ack(command.id, {"user": self.user, "expires": expires(claims)})
        except OpenlineError as error:
            if error.code is Code.UNAUTHORIZED:
                reject(self, error)
            elif not self.is_closed:
                self.refuse(error, id=command.id)
        self._passed()

    def greet(self, places: Mapping[str, Joined]) -> None:
        """`connected`, then the ack of the auth command if there was one."""
        fields = {
            "connection": self.id,
            "user": self.user,
            "expires": expires(self.claims),
            **self.node.announcement,
            "channels": {channel: joined.fields() for channel, joined in places.items()},
            **self.credentials(),
        }
        self.write(self.wire_format.event("connected", fields))
        if self._auth is not None:
            fields = {"user": self.user, "expires": expires(self.claims)}
            self.write(self._frame(self._codec.ack(self._auth.id, fields)))
            self._auth = None

    def credentials(self) -> Mapping[str, str]:
        """What `connected` says beside, for a client that goes on sending by another way."""
        return {}

    def ready(self) -> None:
        """Take what came before `connected`."""
        self._pump()

    def ping(self) -> None:
        """A `ping` event: browsers cannot see protocol pings. It goes ahead of what the client has still to read."""
        if self.opening is None:
            self.write(self.wire_format.event("ping", {}))
        else:  # nothing comes before `connected`, and a long recovery takes its time
            self.connection.ping()

    # subscribe, unsubscribe

    def _subscribe(self, command: commands.Subscribe) -> None:
        subscribing.check(self, command.channel)
        self.node.seek(self.connection.address, command.channel)
        subscription = Subscription(self, command.channel, id=command.id)
        self.subscriptions[command.channel] = subscription
        self._barrier = True
        self.join(subscription, since=command.since, last=command.last or 0)

    def acknowledge(self, subscription: Subscription, joined: Joined) -> None:
        """The ack of a subscribe, or `subscribed` for one that the server made."""
        fields = {"channel": subscription.channel, **joined.fields()}
        if subscription.server:
            self.send(self.wire_format.event("subscribed", fields))
            return
        if subscription.count is not None:
            fields["count"] = subscription.count.count
        self._ack(subscription.id, fields)
        self._resume()

    def refused(self, subscription: Subscription, error: OpenlineError) -> None:
        """The error of a subscribe."""
        super().refused(subscription, error)
        if not subscription.server and not self.is_closed:
            self.refuse(error, id=subscription.id)
            self._resume()

    def unsubscribe_by_server(self, channel: str, reason: str) -> None:
        """See Session; acks that wait for this channel go first, and a subscribe under way is answered."""
        self._flush_echoes(channel)
        subscription = self.subscriptions.get(channel)
        super().unsubscribe_by_server(channel, reason)
        if subscription is not None and not subscription.joined and not subscription.server:
            self.refuse(OpenlineError(Code.FORBIDDEN, reason), id=subscription.id)
            self._resume()

    def _resume(self) -> None:
        """What waits is taken in the next turn: here a replay or a sweep may be under way."""
        self.node.soon(self._passed)

    def _unsubscribe(self, command: commands.Unsubscribe) -> None:
        subscription = self.subscriptions.get(command.channel)
        if subscription is None:
            self.node.namespaces.of(command.channel)
            raise OpenlineError(Code.NOT_SUBSCRIBED, f"not subscribed to {command.channel}")
        self._flush_echoes(command.channel)
        self.drop(subscription)
        self._ack(command.id, {"channel": command.channel})

    # publish

    def _publish(self, command: commands.Publish) -> None:
        subscription = self.subscriptions.get(command.channel)
        token = ""
        if not command.echo and subscription is not None:
            if self._echoes is None:
                self._echoes = Echoes()
            token = self._echoes.token(self.id)
        draft = publishing.draft(self, command, token=token)
        if token and self._echoes is not None:
            self._echoes.add(
                token,
                channel=command.channel,
                command=command.id,
                position=self.node.position(command.channel),
            )
        self._publishing += 1
        self.node.publish(draft, partial(self._published, command, token))

    def _published(
        self, command: commands.Publish, token: str, result: Published | OpenlineError
    ) -> None:
        self._publishing -= 1
        if self.is_closed:
            return
        if not token or self._echoes is None:
            self._answer_publish(command.id, result)
        elif isinstance(result, OpenlineError):
            self._echoes.remove(token)
            self.refuse(result, id=command.id)
        elif (echo := self._echoes.stored(token, result)) is not None:
            self._confirm(token, echo)
        self._pump()

    def _answer_publish(self, id: commands.Id, result: Published | OpenlineError) -> None:
        if isinstance(result, OpenlineError):
            self.refuse(result, id=id)
        else:
            self._ack(id, _position_fields(result))

    def _confirm(self, token: str, echo: Echo) -> None:
        """The store has answered before the hub delivered."""
        assert self._echoes is not None
        assert echo.result is not None
        subscription = self.subscriptions.get(echo.channel)
        if subscription is not None and not subscription.joined:
            # The server is just subscribing it: whether the message will come as well is not known.
            if not echo.acked:
                echo.acked = True
                self._ack(echo.command, _position_fields(echo.result))
            return
        position = self.node.position(echo.channel) if subscription is not None else None
        verdict = self._echoes.confirm(token, position)
        if verdict is Verdict.ACK:
            self._ack(echo.command, _position_fields(echo.result))
        elif verdict is Verdict.LOOK_AGAIN:
            self.node.later(DUPLICATE_SECONDS, partial(self._confirm, token, echo))

    def awaits(self, token: str) -> bool:
        """See Session."""
        return self._echoes is not None and token in self._echoes

    def echoed(self, publication: Publication) -> None:
        """The ack of an `echo: false` publish, at the message's place."""
        echo = self._echoes.remove(publication.token) if self._echoes is not None else None
        if echo is not None and not echo.acked:
            result = Published(publication.epoch, publication.offset)
            self._ack(echo.command, _position_fields(result))

    def _flush_echoes(self, channel: str) -> None:
        if self._echoes is not None:
            self._ack_all(self._echoes.flush(channel))

    def _ack_all(self, acks: Iterable[tuple[commands.Id, Published]]) -> None:
        for command, result in acks:
            self._ack(command, _position_fields(result))

    def reset(self, subscription: Subscription, position: Position, event: bytes) -> None:
        """See Session; acks that wait for this channel go before it, or behind it where it names their epoch."""
        before, behind = (
            self._echoes.jump(subscription.channel, position) if self._echoes else ((), ())
        )
        self._ack_all(before)
        super().reset(subscription, position, event)
        self._ack_all(behind)

    # presence and history; direct messages

    async def _answer(self, query: commands.Presence | commands.History) -> None:
        try:
            answer = self._frame(await querying.answer(self, query, self._codec))
            if not self.claim_room(answer):
                raise OpenlineError(Code.UNAVAILABLE, CROWDED, retry_after=1)
            self.send(answer)
            self._release_replay()
        except OpenlineError as error:
            self.refuse(error, id=query.id)
        finally:
            self._passed()

    def direct(self, data: bytes, ts: int) -> None:
        """See Session."""
        self.send(self._frame(self._codec.direct(data, kind=Kind.JSON, ts=ts)))


def _position_fields(result: Published) -> dict[str, Any]:
    """The result fields of a publish; an ephemeral one has no place."""
    if not result.offset:
        return {"duplicate": result.duplicate}
    return {"epoch": result.epoch, "offset": result.offset, "duplicate": result.duplicate}
