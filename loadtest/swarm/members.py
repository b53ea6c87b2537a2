"""Who takes part. Each class is a kind of user that Locust can be asked for by name."""

from __future__ import annotations

import json
import random
import time
from typing import ClassVar

import gevent
from locust import User, constant, task

from loadtest.swarm import stamp
from loadtest.swarm.crew import Crew
from loadtest.swarm.lasting import Lasting
from loadtest.swarm.listening import Listening
from loadtest.swarm.session import CallError, Session
from loadtest.swarm.target import TargetError

_FASTEST = 50
"""Requests a second at most for one feed; at higher rates a request carries several messages."""


class Member(User):
    """A user of Openline. `crew` is set when Locust has begun."""

    abstract = True
    crew: ClassVar[Crew]

    def on_start(self) -> None:
        """Take a number."""
        self.number = self.crew.number()
        self.sub = self.crew.name(self.number)

    def pick(self, kind: str, count: int) -> str:
        """One of `count` channels, the same for every so manieth user."""
        return f"{kind}:load-{self.number % max(1, count)}"


class Follower(Member):
    """Somebody who is connected all the time."""

    abstract = True
    client: Lasting

    def on_stop(self) -> None:
        """Leave."""
        self.client.stop()


class Watcher(Follower):
    """Somebody who only receives."""

    abstract = True
    wait_time = constant(60)

    @task
    def stay(self) -> None:
        """Everything is done by the client."""


class Chatter(Follower):
    """Somebody in a room: sends and receives, and looks who is there."""

    weight = 5
    session: Session

    def on_start(self) -> None:
        """Enter the room."""
        super().on_start()
        self.room = self.pick("room", self.crew.options.rooms)
        self.client = self.session = Session(
            self.crew, row="room", sub=self.sub, channels=[self.room]
        )
        self.session.start()
        gevent.sleep(self.wait_time())

    def wait_time(self) -> float:
        """Seconds until the next message."""
        mean: float = self.crew.options.chat_every
        return random.uniform(0.5, 1.5) * mean  # noqa: S311 - no secret

    @task(10)
    def say(self) -> None:
        """Send a message."""
        data = json.loads(stamp.body(self.crew.options.payload))
        self._call("publish", channel=self.room, data=data)

    @task(1)
    def look(self) -> None:
        """Ask who is there."""
        self._call("presence", channel=self.room)

    def _call(self, type: str, **fields: object) -> None:
        if not self.session.connected:
            return  # connections that are not there are counted as such
        began, error = time.perf_counter(), None
        try:
            self.session.call(type, **fields)
        except CallError as refused:
            error = str(refused)
        self.crew.ledger.event(f"WS {type}", "room", began=began, error=error)


class Listener(Watcher):
    """Somebody who waits for notifications."""

    weight = 3

    def on_start(self) -> None:
        """Listen."""
        super().on_start()
        topic = self.pick("notify", self.crew.options.topics)
        self.client = Session(self.crew, row="notify", sub=self.sub, channels=[topic])
        self.client.start()


class FeedReader(Watcher):
    """Somebody who watches a high-rate feed."""

    weight = 1

    def on_start(self) -> None:
        """Watch."""
        super().on_start()
        feed = self.pick("live", self.crew.options.feeds)
        self.client = Session(self.crew, row="live", sub=self.sub, channels=[feed])
        self.client.start()


class StreamReader(Watcher):
    """Somebody who reads notifications and a room as Server-Sent Events."""

    weight = 1

    def on_start(self) -> None:
        """Read."""
        super().on_start()
        options = self.crew.options
        channels = [self.pick("notify", options.topics), self.pick("room", options.rooms)]
        self.client = Listening(self.crew, row="notify, room", sub=self.sub, channels=channels)
        self.client.start()


class Returner(Follower):
    """Somebody in a room whose network fails at the same moment as that of all others of this kind."""

    weight = 1

    def on_start(self) -> None:
        """Enter the room."""
        super().on_start()
        room = self.pick("room", self.crew.options.rooms)
        self.client = Session(self.crew, row="returner", sub=self.sub, channels=[room])
        self.client.start()
        gevent.sleep(self.wait_time())

    def wait_time(self) -> float:
        """Seconds until all drop, by the wall clock, which workers share."""
        every: float = self.crew.options.storm_every
        return every - time.time() % every

    @task
    def fail(self) -> None:
        """Drop, and come back."""
        self.client.drop(away=self.crew.options.storm_away)


class Sender(Member):
    """A back end that publishes by HTTP at an even rate."""

    abstract = True
    due = 0.0

    def pause(self, rate: float) -> float:
        """Seconds to wait for `rate` requests a second, however long they take; what is late by a second is let go."""
        now = time.monotonic()
        self.due = max(self.due + 1 / rate, now - 1) if self.due else now
        return max(0.0, self.due - now)

    def send(self, path: str, body: bytes, *, row: str) -> None:
        """Post, and let the next one leave in time even when this one takes long."""
        self.crew.posting.spawn(self.post, path, body, row=row)

    def post(self, path: str, body: bytes, *, row: str) -> None:
        """Post and wait for the answer."""
        began, answer = time.perf_counter(), None
        try:
            answer = self.crew.backend.post(path, body)
            error = answer.problem
        except (OSError, TargetError) as refused:
            error = str(refused) or type(refused).__name__
        self.crew.ledger.event("HTTP publish", row, began=began, error=error, size=len(body))
        for result in json.loads(answer.body).get("results", ()) if answer and not error else ():
            if "offset" not in result:
                self.crew.ledger.event("HTTP publish", row, error=str(result.get("message")))


class Publisher(Sender):
    """A back end that notifies, one request a message."""

    fixed_count = 1

    def wait_time(self) -> float:
        """Seconds until the next notification is due."""
        return self.pause(self.crew.options.notify_rate)

    @task
    def notify(self) -> None:
        """Publish to the next topic."""
        self.number += 1
        channel = self.pick("notify", self.crew.options.topics)
        body = b'{"data":%b}' % stamp.body(self.crew.options.payload)
        self.send(f"/v1/channels/{channel}/messages", body, row="notify")


class Ticker(Sender):
    """A back end that publishes to all feeds, several messages a request at high rates."""

    fixed_count = 1

    def wait_time(self) -> float:
        """Seconds until the next messages are due."""
        return self.pause(min(_FASTEST, self.crew.options.feed_rate))

    @task
    def tick(self) -> None:
        """Publish what is due to every feed."""
        options = self.crew.options
        each = max(1, round(options.feed_rate / _FASTEST))
        messages = [
            b'{"channel":"live:load-%d","data":%b}' % (feed, stamp.body(options.payload))
            for feed in range(options.feeds)
            for _ in range(each)
        ]
        self.send("/v1/messages", b'{"messages":[%b]}' % b",".join(messages), row="live")
