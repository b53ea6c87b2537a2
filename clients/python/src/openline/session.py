"""What frames do: to channels, publishes and questions; and what is to be sent. Pure but for the wire it is given.

One session lasts as long as its client, over many connections. `now` is seconds of a monotonic clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Protocol

from openline import protocol
from openline.errors import OpenlineError
from openline.feed import Feed, Reader, Wire
from openline.outbox import Entry, Outbox
from openline.positions import Place, Start, Verdict
from openline.protocol import Frame
from openline.types import Connected, Count, Direct, Lost, Position, Published, Typing

MAX_SINCE = 100
"""Positions that one `auth` may carry."""

HISTORY_PAGE = 500

log = logging.getLogger("openline")


class Owner(Protocol):
    """Whoever holds the connections."""

    def greeted(self, line: Wire, connected: Connected) -> None:
        """From now on the connection is `line`."""

    def expiring(self, line: Wire) -> None:
        """A new token is wanted."""

    def renewal_refused(self, line: Wire, error: OpenlineError) -> None:
        """The new token was refused."""

    def leaving(self, line: Wire, within: float) -> None:
        """The node leaves: move, at a moment inside so many seconds."""

    def direct(self, message: Direct) -> None:
        """A message for this connection."""


@dataclass(slots=True)
class _Question:
    """A command whose answer somebody waits for; it may be asked again on another connection."""

    frame: Frame
    settle: Callable[[Frame | OpenlineError], None]


class Session:
    """All that outlives a connection. `client`: the name that an anonymous client keeps secret."""

    def __init__(
        self, owner: Owner, outbox: Outbox, *, client: str, random: Callable[[], float]
    ) -> None:
        self.owner = owner
        self.outbox = outbox
        self.feeds: dict[str, Feed] = {}
        self.line: Wire | None = None
        self.connected: Connected | None = None
        self._client = client
        self._random = random
        self._ids = count(1)
        self._server_made: dict[str, Place] = {}
        self._joins: dict[int, tuple[Feed, Wire]] = {}
        self._questions: dict[int, _Question] = {}
        self._renewals: set[int] = set()
        self._handlers: dict[str, Callable[[Wire, Frame, float], None]] = {
            "connected": self._on_connected,
            "ack": self._on_ack,
            "error": self._on_error,
            "pong": self._on_pong,
            "ping": self._on_ping,
            "reset": self._on_reset,
            "subscribed": self._on_subscribed,
            "unsubscribed": self._on_unsubscribed,
            "expiring": lambda line, _frame, _now: owner.expiring(line),
            "reconnect": lambda line, frame, _now: owner.leaving(line, float(frame["within"])),
            "direct": lambda _line, frame, _now: owner.direct(
                Direct(protocol.data(frame), frame["ts"])
            ),
            "join": self._on_presence(protocol.join),
            "leave": self._on_presence(protocol.leave),
            "count": self._on_presence(lambda f: Count(f["channel"], f["count"], f["users"])),
            "typing": self._on_presence(lambda f: Typing(f["channel"], f.get("user"))),
        }

    @property
    def user(self) -> str | None:
        """Who the server says that we are."""
        return self.connected.user if self.connected else None

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._questions) or len(self.outbox) > 0

    def id(self) -> int:
        """A number for the next command."""
        return next(self._ids)

    # ------------------------------------------------------------------------------------------ what we send

    def flight(self, line: Wire, token: str | None) -> list[Frame]:
        """The first commands of a connection, sent without waiting: who we are, and what we read."""
        auth: Frame = {"type": "auth", "id": self.id()}
        if token is None:
            auth["client"] = self._client
        else:
            auth["token"] = token
        since = {
            name: protocol.position(feed.place.position)
            for name, feed in self.feeds.items()
            if feed.server_made is not False and feed.place.position and not feed.error
        }
        if since:
            auth["since"] = dict(list(since.items())[:MAX_SINCE])
        if self.connected is not None:
            auth["previous"] = self.connected.connection
        wanted = [f for f in self.feeds.values() if not f.server_made and not f.error]
        return [auth, *(self._join(feed, line) for feed in wanted)]

    def renew(self, line: Wire, token: str) -> None:
        """Send a new token."""
        number = self.id()
        self._renewals.add(number)
        line.send({"type": "auth", "id": number, "token": token})

    def open(self, name: str, reader: Reader, now: float) -> Feed:
        """Somebody reads a channel from now on; others may do so already."""
        feed = self.feeds.get(name)
        if feed is not None and feed.error is None:
            feed.join(reader)
            if feed.line is not None:
                self._let_in(feed)
            return feed
        feed = self.feeds[name] = Feed(name, reader)
        feed.enter("joining")
        place, line = self._server_made.get(name), self.line
        if place is not None and line is not None:
            feed.server_made, feed.place = True, place
            reader.pause()
            feed.stand(line, {"epoch": place.epoch, "offset": place.offset})
            self._fetch(feed, reader)
        elif line is not None:
            self._subscribe(feed, line, now)
        return feed

    def close(self, feed: Feed, reader: Reader) -> None:
        """One reads it no more. The last one unsubscribes."""
        feed.remove(reader)
        if feed.readers or self.feeds.get(feed.name) is not feed:
            return
        del self.feeds[feed.name]
        self._joins = {n: join for n, join in self._joins.items() if join[0] is not feed}
        if feed.server_made:
            self._server_made[feed.name] = feed.place
        elif self.line is not None and not feed.error:
            self.line.send({"type": "unsubscribe", "id": self.id(), "channel": feed.name})

    def ask(self, frame: Frame, settle: Callable[[Frame | OpenlineError], None]) -> int:
        """Send a command whose answer somebody waits for: at once, or when the connection is back."""
        number = self.id()
        self._questions[number] = _Question({**frame, "id": number}, settle)
        if self.line is not None:
            self.line.send(self._questions[number].frame)
        return number

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        self._questions.pop(number, None)

    def due(self, now: float) -> None:
        """Send what is to be sent now, and give up what has waited too long."""
        self.outbox.expire(now)
        if self.line is None:
            return
        for feed in list(self.feeds.values()):
            if feed.retry_at is not None and feed.retry_at <= now:
                self._subscribe(feed, self.line, now)
        for entry in self.outbox.take(now, self._stands):
            self.line.send_encoded(entry.frame)

    def next(self, now: float) -> float | None:
        """When `due` is to be called again, unless something happens; None when nothing waits."""
        times = [feed.retry_at for feed in self.feeds.values() if feed.retry_at is not None]
        publish = self.outbox.next(now, self._stands if self.line is not None else _never)
        if publish is not None:
            times.append(publish)
        return min(times, default=None)

    def lost(self, line: Wire, now: float) -> None:
        """A connection has ended."""
        self._joins = {n: join for n, join in self._joins.items() if join[1] is not line}
        for feed in self.feeds.values():
            if feed.joining not in self._joins:
                feed.joining = None
            if feed.line is line:
                feed.line = None
                feed.enter("rejoining")
        if self.line is line:
            self.line = None
            self.outbox.broken(now)

    def fail(self, error: OpenlineError) -> None:
        """The client has ended: whoever waits is told."""
        self.line = None
        self.outbox.reject(error)
        questions = list(self._questions.values())
        self._questions.clear()
        for question in questions:
            question.settle(error)
        for feed in list(self.feeds.values()):
            feed.fail(error)

    def _join(self, feed: Feed, line: Wire) -> Frame:
        number = feed.joining = self.id()
        feed.retry_at = None
        self._joins[number] = (feed, line)
        frame: Frame = {"type": "subscribe", "id": number, "channel": feed.name}
        if position := feed.place.position:
            frame["since"] = protocol.position(position)
        elif feed.last:
            frame["last"] = feed.last
        return frame

    def _subscribe(self, feed: Feed, line: Wire, now: float) -> None:
        self.outbox.pace.spend(now)
        line.send(self._join(feed, line))

    def _stands(self, channel: str) -> bool:
        feed = self.feeds.get(channel)
        return feed is None or feed.line is self.line or feed.error is not None

    # ------------------------------------------------------------------------------------------ what has come

    def received(self, line: Wire, frame: Frame, now: float) -> None:
        """A frame has come. Types that are not known are left alone."""
        kind = frame["type"]
        if kind == "message":
            self._on_message(frame)
        elif (handler := self._handlers.get(kind)) is not None:
            handler(line, frame, now)

    def _on_message(self, frame: Frame) -> None:
        name, offset = frame["channel"], frame.get("offset")
        feed = self.feeds.get(name)
        if feed is None:
            if offset is not None and (place := self._server_made.get(name)) is not None:
                place.message(offset)
            return
        if offset is None:
            feed.put(None, protocol.message(frame, name))
            return
        place = feed.place
        verdict = place.message(offset, frame.get("skipped", 0))
        if verdict is Verdict.DROP:
            return
        if verdict is Verdict.GAP:
            feed.put(None, Lost(name, "gap", Position(place.epoch, offset - 1)))
        recovering = feed.recovering is not None
        if "key" in frame and self._is_own(frame, place.epoch):
            feed.mark()
            return
        if recovering:
            feed.recovering = (feed.recovering or 0) + 1
        message = protocol.message(frame, name, recovered=recovering)
        feed.put(place.position, message)

    def _is_own(self, frame: Frame, epoch: str) -> bool:
        """Whether it was published here without echo, and its ack was lost with a connection."""
        if frame.get("from") != self.user:
            return False
        published = Published(epoch, frame["offset"], duplicate=False, channel=frame["channel"])
        return self.outbox.came(frame["key"], published)

    def _on_connected(self, line: Wire, frame: Frame, now: float) -> None:
        connected = Connected(
            frame["connection"],
            frame.get("user"),
            frame["node"],
            frame.get("expires"),
            frame["ping"],
            frame.get("version"),
        )
        if self.connected is not None and self.connected.user != connected.user:
            self._change_user()
        self.connected, self.line = connected, line
        self.outbox.broken(now)
        if (limits := frame.get("limits")) is not None:
            self.outbox.pace.limit(limits.get("commands") or 0, limits.get("burst") or 0)
            self.outbox.pace.refill(now)
        self.outbox.pace.spend(now, 1 + len(self._joins))
        self._take_server_made(line, frame["channels"], now)
        self._join_late(line, now)
        self.owner.greeted(line, connected)
        for question in self._questions.values():
            line.send(question.frame)
        self._check_recovered(line)

    def _change_user(self) -> None:
        """What belonged to the user before is void: positions, and publishes that wait."""
        self.outbox.reject(
            OpenlineError("the user has changed; publish again as this one", code="aborted")
        )
        for feed in self.feeds.values():
            feed.place.forget("the user has changed")

    def _take_server_made(self, line: Wire, channels: Frame, now: float) -> None:
        self._server_made.clear()
        for name, frame in channels.items():
            self._on_subscribed(line, {**frame, "channel": name}, now)
        for feed in self.feeds.values():
            if feed.server_made and feed.name not in channels and not feed.error:
                feed.server_made = False
                self._subscribe(feed, line, now)

    def _join_late(self, line: Wire, now: float) -> None:
        """Channels that somebody began to read behind the flight, before the greeting: no other frame asks for them."""
        for feed in self.feeds.values():
            asked = self._joins.get(feed.joining) if feed.joining is not None else None
            here = feed.line is line or (asked is not None and asked[1] is line)
            if not (here or feed.server_made or feed.error or feed.retry_at is not None):
                self._subscribe(feed, line, now)

    def _on_subscribed(self, line: Wire, frame: Frame, _now: float) -> None:
        name = frame["channel"]
        feed = self.feeds.get(name)
        if feed is None:
            place = self._server_made[name] = Place()
            place.start(frame)
            return
        self._server_made[name] = feed.place
        feed.server_made = True
        fetch = [r for r in feed.readers if r.entered and feed.last and not feed.place.epoch]
        for reader in fetch:
            reader.pause()
        self._stand(feed, line, frame)
        for reader in fetch:
            self._fetch(feed, reader)

    def _stand(self, feed: Feed, line: Wire, frame: Frame) -> None:
        start: Start = feed.stand(line, frame)
        if start.recovered:
            self._check_recovered(line)
        self._let_in(feed)

    def _on_ack(self, line: Wire, frame: Frame, _now: float) -> None:
        number = frame.get("id")
        if not isinstance(number, int):
            return
        if (join := self._joins.pop(number, None)) is not None:
            feed = join[0]
            feed.server_made, feed.last = False, 0
            self._stand(feed, line, frame)
            self._check_recovered(line)
        elif (question := self._questions.pop(number, None)) is not None:
            question.settle(frame)
        elif (entry := self.outbox.acked(number, protocol.published(frame, ""))) is not None:
            self._published(entry, frame)
        self._renewals.discard(number)

    def _published(self, entry: Entry, frame: Frame) -> None:
        """The ack of a publish without echo takes the message's place."""
        feed = self.feeds.get(entry.channel)
        if entry.echo or feed is None or frame.get("offset") is None:
            return
        if feed.place.own(frame["epoch"], frame["offset"]):
            feed.mark()

    def _on_error(self, line: Wire, frame: Frame, now: float) -> None:
        number, error = frame.get("id"), protocol.error(frame)
        if not isinstance(number, int):
            log.debug("the server refused a frame: %s", error)
        elif (join := self._joins.pop(number, None)) is not None:
            self._join_refused(join[0], line, error, now)
        elif (question := self._questions.pop(number, None)) is not None:
            question.settle(error)
        elif number in self._renewals:
            self._renewals.discard(number)
            self.owner.renewal_refused(line, error)
        else:
            self.outbox.refused(number, error, now, random=self._random())

    def _join_refused(self, feed: Feed, line: Wire, error: OpenlineError, now: float) -> None:
        feed.joining = None
        if error.code == "already_subscribed":
            feed.go_on(line)
            self._let_in(feed)
        elif error.temporary:
            wait = 1.0 if error.retry_after is None else error.retry_after
            feed.retry_at = now + wait * (1 + self._random())
        else:
            feed.fail(error)
        self._check_recovered(line)

    def _on_reset(self, _line: Wire, frame: Frame, _now: float) -> None:
        name = frame["channel"]
        feed = self.feeds.get(name)
        if feed is None:
            if (place := self._server_made.get(name)) is not None:
                place.reset(frame)
            return
        position = feed.place.reset(frame)
        wait = float(frame.get("within", 0)) * self._random()
        lost = Lost(name, frame.get("reason", "reset"), position, frame.get("began"), wait)
        feed.put(position, lost)

    def _on_unsubscribed(self, _line: Wire, frame: Frame, _now: float) -> None:
        self._server_made.pop(frame["channel"], None)
        if (feed := self.feeds.get(frame["channel"])) is not None:
            feed.fail(
                OpenlineError(
                    f"the server ended the subscription of {feed.name}: {frame.get('reason', '')}",
                    code="unsubscribed",
                )
            )

    def _on_ping(self, line: Wire, _frame: Frame, _now: float) -> None:
        line.send({"type": "pong"})

    def _on_pong(self, _line: Wire, frame: Frame, _now: float) -> None:
        number = frame.get("id")
        if isinstance(number, int) and (question := self._questions.pop(number, None)):
            question.settle(frame)

    def _on_presence(self, read: Callable[[Frame], Any]) -> Callable[[Wire, Frame, float], None]:
        def handle(_line: Wire, frame: Frame, _now: float) -> None:
            if (feed := self.feeds.get(frame["channel"])) is not None:
                feed.put(None, read(frame))

        return handle

    # ------------------------------------------------------------------------------------------ after coming back

    def _check_recovered(self, line: Wire) -> None:
        """Behind the last ack, ask for a pong: what comes before it had been missed."""
        if line is not self.line or any(join[1] is line for join in self._joins.values()):
            return
        feeds = [f for f in self.feeds.values() if f.recovering is not None and f.line is line]
        if feeds:
            self.ask({"type": "ping"}, lambda answer: _all_recovered(feeds, answer))

    def _let_in(self, feed: Feed) -> None:
        """The channel stands: those who came to it late begin, where they wanted to, or with what comes behind a pong.

        Before the pong, what the first reader wanted of the past may still be on its way.
        """
        late, feed.late = feed.late, []
        for reader in late:
            if reader.since or reader.last:
                feed.let_in(reader)
                self._fetch(feed, reader)
            else:
                self.ask({"type": "ping"}, partial(self._come, feed, reader))

    def _come(self, feed: Feed, reader: Reader, _pong: Frame | OpenlineError) -> None:
        if reader not in feed.readers:
            return
        if feed.line is None or self.line is None:
            feed.late.append(reader)
            return
        feed.let_in(reader)
        self._fetch(feed, reader)

    def _fetch(self, feed: Feed, reader: Reader) -> None:
        """Older messages of a channel that stands, for a reader that does not follow it yet: `last`, or behind `since`."""
        start, since, last = feed.place.position, reader.since, reader.last
        feed.last = 0
        reader.hold()
        if start is None or not (since or last):
            reader.inbox.put(start, None)
            reader.release()
        elif since is None:
            fields: Frame = {"limit": min(last, HISTORY_PAGE), "reverse": True}
            self._ask_history(feed, reader, start, fields)
        elif since.epoch != start.epoch:
            reader.inbox.put(start, Lost(feed.name, "what was missed is no longer kept", start))
            reader.release()
        elif since.offset >= start.offset:
            reader.skip(since)
        else:
            limit = min(reader.page, HISTORY_PAGE)
            fields = {"limit": limit, "since": protocol.position(since)}
            self._ask_history(feed, reader, start, fields)

    def _ask_history(self, feed: Feed, reader: Reader, start: Position, fields: Frame) -> None:
        frame = {"type": "history", "channel": feed.name, **fields}
        self.ask(frame, partial(self._fetched, feed, reader, start))

    def _fetched(
        self, feed: Feed, reader: Reader, start: Position, answer: Frame | OpenlineError
    ) -> None:
        """A page of older messages, up to `start`: they go before what has come meanwhile."""
        since = reader.since
        if self.line is None or reader not in feed.readers:
            return
        if isinstance(answer, OpenlineError) or answer["epoch"] != start.epoch:
            lost = None if since is None else Lost(feed.name, f"no history: {answer}", start)
            reader.inbox.put(start, lost)
            reader.release()
            return
        stored: Iterable[Frame] = answer["messages"]
        stored = stored if since is not None else reversed(list(stored))
        at = since
        for frame in stored:
            if frame["offset"] <= start.offset:
                at = Position(start.epoch, frame["offset"])
                message = protocol.message(frame, feed.name, recovered=since is not None)
                reader.inbox.put(at, message)
        if since is not None and at is not None and answer["more"] and since < at < start:
            reader.since = at
            reader.pause()
            reader.inbox.when_taken(partial(self._fetch_more, feed, reader))
        else:
            reader.inbox.put(start, None)
            reader.release()

    def _fetch_more(self, feed: Feed, reader: Reader) -> None:
        if reader in feed.readers and feed.error is None:
            self._fetch(feed, reader)


def _all_recovered(feeds: list[Feed], answer: Frame | OpenlineError) -> None:
    if not isinstance(answer, OpenlineError):
        for feed in feeds:
            feed.recovered()


def _never(_channel: str) -> bool:
    return False
