"""Sessions of the plain routes: a room or a topic named by the URL, and nothing to learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.gateway.fanout.lag import Kept
from services.gateway.fanout.subscriber import Subscription
from services.gateway.fanout.wire_format import NOTIFY, ROOM
from services.gateway.hub.port import Joined
from services.gateway.session import publishing, subscribing
from services.gateway.session.authenticating import claims_of
from services.gateway.session.port import Host
from services.gateway.session.session import Session
from services.gateway.websocket import Connection
from services.kernel.broker.drafts import check_written
from services.kernel.broker.port import Published
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Close, Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.protocol import commands, json_codec, plain
from services.kernel.protocol.commands import BadCommand

_REFUSALS = {Code.FORBIDDEN: Close.PERMISSION, Code.RATE_LIMITED: Close.OVERLOADED}


class PlainSession(Session):
    """A session with one channel, from `since` on or with its `last` newest messages first."""

    __slots__ = ("_authenticating", "_early", "_last", "_since", "channel")

    def __init__(
        self,
        node: Host,
        connection: Connection,
        *,
        channel: str,
        since: Position | None,
        last: int,
    ) -> None:
        super().__init__(node, connection, self.speaks)
        self.channel = channel
        self._since = since
        self._last = last
        self._authenticating = False
        self._early: list[bytes] | None = (
            None  # made when needed: most never speak before they are told to
        )

    speaks = ROOM

    def start(self, claims: Claims | None, since: Mapping[str, Position] | None = None) -> None:
        """See Session; closes with 4003 or 4000 when the channel cannot be had, with 4104 when it can be had later."""
        self.claims = claims
        try:
            subscribing.check(self, self.channel)
            self.node.seek(self.connection.address, self.channel)
        except OpenlineError as error:
            self.close(_REFUSALS.get(error.code, Close.BAD_REQUEST), error.message)
            return
        super().start(claims, since)

    def wanted(self, since: Mapping[str, Position]) -> Iterable[tuple[str, Position | None, int]]:
        """The route's channel alone."""
        yield self.channel, since.get(self.channel, self._since), self._last

    def received_text(self, text: bytes) -> None:
        """The first message of a client that brought no token is `auth`; what follows is the route's."""
        if self.opening is None:
            self.received(text)
        elif self.opened or self._authenticating:
            # A client may speak as soon as its socket is open; until the room is, nothing more is read.
            if self._early is None:
                self._early = []
            self._early.append(text)
            self.connection.pause_reading()
        else:
            self._first(text)

    def ready(self) -> None:
        """Take what came before `connected`."""
        early, self._early = self._early, None
        for text in early or ():
            self.received(text)
        self.connection.resume_reading()

    def subscribe_by_server(self, channel: str) -> None:
        """Nothing: events do not name their channel here, so a second one would be taken for the first."""

    def unsubscribe_by_server(self, channel: str, reason: str) -> None:
        """Ends the connection: without its channel the route has nothing to say."""
        if channel == self.channel:
            self.close(Close.DISCONNECTED, reason)

    def expiring(self) -> None:
        """Nothing: a token cannot be renewed here; 4200 tells when it is over."""

    def reconnect(self, event: bytes) -> None:
        """Nothing: 4100 tells when it is time."""

    def received(self, text: bytes) -> None:
        """A text message of an open session."""
        raise NotImplementedError

    def _first(self, text: bytes) -> None:
        try:
            command = json_codec.CODEC.command(json_codec.CODEC.read(text))
        except BadCommand as error:
            self.close(Close.UNAUTHORIZED, error.message)
            return
        if not isinstance(command, commands.Auth):
            self.close(Close.UNAUTHORIZED, "the first message must be auth, or bring a token")
            return
        self._authenticating = True
        self.node.spawn(self._authenticate(command))

    async def _authenticate(self, command: commands.Auth) -> None:
        claims = await claims_of(self, command.token)
        if not self.is_closed:
            self.start(claims, command.since)


class RoomSession(PlainSession):
    """`/ws/rooms/{room}`: what is typed is published, what others publish is heard."""

    __slots__ = ()

    def greet(self, places: Mapping[str, Joined]) -> None:
        """`connected` with the place in the room and how many are there."""
        count = self.subscriptions[self.channel].count
        fields: dict[str, Any] = {
            "connection": self.id,
            "user": self.user,
            **places[self.channel].fields(),
        }
        if count is not None:
            fields["count"] = count.count
        self.write(self.wire_format.event("connected", fields))

    def received(self, text: bytes) -> None:
        """Publish, or tell that this user types."""
        try:
            if (error := self.charge(len(text))) is not None:
                raise error
            # Before it costs a look: a frame may have sixteen times as many bytes as a message.
            check_written(self.node.namespaces.of(self.channel), len(text))
            codec = plain.RoomCodec(self.channel)
            wire = codec.read(text)
            publishing.admit(self, wire)
            self._execute(codec.command(wire))
        except OpenlineError as error:
            self.refuse(error)

    def _execute(self, command: commands.Command) -> None:
        self.node.metrics.commands_of[type(command).__name__.lower()].inc()
        match command:
            case commands.Publish():
                self.node.publish(publishing.draft(self, command), self._published)
            case commands.Typing():
                publishing.typing(self, self.channel)
            case commands.Ping():
                self.send(self.wire_format.event("pong", {}))
            case _:
                pass

    def _published(self, result: Published | OpenlineError) -> None:
        if isinstance(result, OpenlineError) and not self.is_closed:
            self.refuse(result)


class NotifySession(PlainSession):
    """`/ws/notify/{topic}`: only listens."""

    __slots__ = ()

    speaks = NOTIFY

    def greet(self, places: Mapping[str, Joined]) -> None:
        """Nothing: the route speaks of notifications alone."""

    def catch_up(self, subscription: Subscription, kept: Sequence[Kept]) -> None:
        """See Subscriber; a notification has no `skipped`, so a reset tells that some are missing."""
        if subscription.audience is not None and any(skipped for _, skipped in kept):
            first, _ = kept[0]
            before = Position(first.epoch, first.offset - 1)
            self.send(subscription.audience.lagged(self.wire_format, before))
        super().catch_up(subscription, kept)

    def received(self, text: bytes) -> None:
        """What is said here is not heard, but counted: whoever never stops is closed with 4000."""
        del text
        self.refuse(OpenlineError(Code.BAD_REQUEST, "nothing is read on this route"))

    def received_binary(self, data: bytes) -> None:
        """See received."""
        self.received(data)
