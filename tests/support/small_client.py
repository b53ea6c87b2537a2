"""A client of some hundred lines that owes our packages nothing: what it meets, a client in any language meets."""

# ruff: noqa: A001, C901, FBT002, PLR0912, PLR0917, TRY300 (small, and read from top to bottom)

import asyncio
import contextlib
import json
import random
import time
import uuid

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

STAY_AWAY = {1000, 1002, 1003, 1007, 1008, 1009, *range(4000, 4100)}


class Client:
    def __init__(self, url, token, channels, on_message, on_lost, on_error=print):
        self.url, self.token, self.channels = url, token, list(channels)
        self.on_message, self.on_lost, self.on_error = on_message, on_lost, on_error
        self.positions, self.unanswered, self.tasks = {}, {}, set()
        self.socket = self.previous = None

    async def run(self):
        """Stay connected; return the close code that says to stay away."""
        failures = 0
        while True:
            began, (code, reason) = time.monotonic(), await self.connection()
            if code in STAY_AWAY:
                return code
            failures = 0 if time.monotonic() - began > 5 else min(failures + 1, 5)
            least = float(reason) if code == 4100 and reason.isdigit() else 0
            await asyncio.sleep(least + random.uniform(0, 2**failures))

    async def publish(self, channel, data):
        """Publish once, after what was published before: now, or when the line is back."""
        key = uuid.uuid4().hex
        self.unanswered[key] = {
            "type": "publish",
            "id": key,
            "key": key,
            "channel": channel,
            "data": data,
        }
        if len(self.unanswered) == 1:
            await self.publish_next()

    async def connection(self):
        try:
            async with connect(self.url) as socket:
                since = {c: p for c, p in self.positions.items() if c not in self.channels}
                auth = {
                    "type": "auth",
                    "token": self.token(),
                    "since": since,
                    "previous": self.previous,
                }
                await socket.send(json.dumps(auth))
                async for frame in socket:
                    await self.receive(json.loads(frame), socket)
            return socket.close_code, socket.close_reason or ""
        except ConnectionClosed as end:
            return (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")
        except InvalidStatus as refused:
            return (1008 if refused.response.status_code in (401, 403) else 1013), ""
        except (OSError, InvalidHandshake):
            return 1006, ""
        finally:
            self.socket = None

    async def receive(self, event, socket):
        """What an event asks for. Nothing waits here: while this does, nothing is read."""
        kind, channel, id = event["type"], event.get("channel"), event.get("id")
        if kind == "connected":
            self.socket, self.previous = socket, event["connection"]
            for channel, start in event["channels"].items():
                self.start(channel, start)
            for number in range(len(self.channels)):
                await self.subscribe(number)
            await self.publish_next()
        elif kind == "message":
            if "offset" in event:
                if event["offset"] <= self.positions[channel]["offset"]:
                    return
                self.positions[channel]["offset"] = event["offset"]
            self.on_message(event)
        elif kind in ("reset", "subscribed") or (kind == "ack" and channel):
            self.start(channel, event, lost=kind == "reset")
        elif kind == "unsubscribed":
            self.positions.pop(channel, None)
        elif kind == "error" and event["temporary"]:
            self.later(event.get("retry_after", 1) * random.uniform(1, 1.5), self.again, id)
        elif kind in ("ack", "error"):
            if kind == "error":
                self.on_error(event)
            if self.unanswered.pop(id, None):
                await self.publish_next()
        elif kind == "expiring":
            await self.renew()
        elif kind == "reconnect":
            self.later(random.uniform(0, event["within"]), socket.close, 1001)
        elif kind == "ping":
            await self.send({"type": "pong"})

    def start(self, channel, event, lost=False):
        self.positions[channel] = {"epoch": event["epoch"], "offset": event["offset"]}
        if lost or event.get("recovered") is False:
            self.on_lost(channel)

    async def subscribe(self, number):
        channel = self.channels[number]
        since = {"since": self.positions[channel]} if channel in self.positions else {}
        await self.send({"type": "subscribe", "id": number, "channel": channel, **since})

    async def again(self, id):
        if id in self.unanswered:
            await self.send(self.unanswered[id])
        elif id == "renew":
            await self.renew()
        elif id is not None:
            await self.subscribe(id)

    async def publish_next(self):
        if self.unanswered:
            await self.send(next(iter(self.unanswered.values())))

    async def renew(self):
        await self.send({"type": "auth", "id": "renew", "token": self.token()})

    async def send(self, command):
        if self.socket:
            with contextlib.suppress(ConnectionClosed):
                await self.socket.send(json.dumps(command))

    def later(self, seconds, work, *arguments):
        """Do it then, if this connection still stands."""

        async def wait(socket):
            await asyncio.sleep(seconds)
            if socket is self.socket:
                await work(*arguments)

        task = asyncio.create_task(wait(self.socket))
        self.tasks.add(task)  # a task that nobody holds may vanish
        task.add_done_callback(self.tasks.discard)
