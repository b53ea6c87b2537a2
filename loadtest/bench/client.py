"""The load client: thousands of WebSockets on one epoll, in a process of its own: `python -m loadtest.bench.client`.

Commands come as JSON lines on standard input and are answered on standard output; see `Client`. A delivery costs it
one read, one dictionary look-up and one comparison, so that it is never what is measured.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from loadtest.bench import inbound
from loadtest.bench.frames import CLOSE, FrameError
from loadtest.bench.inbound import Reader
from loadtest.bench.payload import now
from loadtest.bench.peers import Opening, Peer, connect
from loadtest.bench.tally import Tally

READ = 262_144

FEW = 64
PAUSE = 0.0005
"""Seconds to wait when few sockets were readable: else every single write of a server wakes this process, which costs
both sides more than the delivery itself. Latencies are too long by as much at most, for every server alike.
"""


class Client:
    """All connections of one process. Each public method that takes `command` is one command."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._peers: dict[int, Peer] = {}
        self._reader = Reader()
        # One buffer for all: making and cutting down one for each read may cost more than the read.
        self._buffers = [bytearray(READ)]
        self._read = memoryview(self._buffers[0])
        self._tally = Tally()
        self._opening: Opening | None = None
        self._lost = 0
        self._commands = b""
        self._running = True
        self._poll.register(0, select.EPOLLIN)

    def run(self) -> None:
        """Until standard input ends."""
        while self._running:
            before = self._tally.received
            events = self._poll.poll()
            for fd, event in events:
                if fd:
                    self._event(fd, event)
                else:
                    self._listen()
            if self._tally.received != before:
                self._tally.last = now()
                self._tally.first = self._tally.first or self._tally.last
            if len(events) < FEW:
                time.sleep(PAUSE)

    # Commands

    def open(self, command: dict[str, Any]) -> None:
        """Open `count` connections: see `Opening`. Answered when each is joined or has failed."""
        self._opening = Opening(command)
        self._start_more()

    def reset(self, command: dict[str, Any]) -> dict[str, Any]:
        """Count from nothing; what each connection has had so far stays known, unless `anew`."""
        self._tally = Tally()
        if command.get("anew"):
            for peer in self._peers.values():
                peer.expected = None
        return {}

    def progress(self, _command: dict[str, Any]) -> dict[str, Any]:
        """How many messages came."""
        return {"received": self._tally.received}

    def report(self, _command: dict[str, Any]) -> dict[str, Any]:
        """The tally, and how many connections are open and were lost."""
        return {**self._tally.as_json(), "open": len(self._peers), "lost": self._lost}

    def close(self, command: dict[str, Any]) -> dict[str, Any]:
        """Drop all connections without a farewell: reset, or ended as a front door does that stops (`end`)."""
        for peer in list(self._peers.values()):
            if command.get("end"):
                peer.close_with_end()
            self._drop(peer)
        return {}

    def _listen(self) -> None:
        data = os.read(0, READ)
        self._running = bool(data)
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            known: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
                "open": self.open,
                "reset": self.reset,
                "progress": self.progress,
                "report": self.report,
                "close": self.close,
            }
            answer = known[command["do"]](command)
            if answer is not None:
                _say(answer)

    # Opening

    def _start_more(self) -> None:
        opening = self._opening
        while opening is not None and (planned := opening.take()) is not None:
            try:
                peer = connect(planned, opening)
            except OSError as error:
                opening.fail(str(error))
                continue
            self._peers[peer.fd] = peer
            self._poll.register(peer.fd, select.EPOLLIN | select.EPOLLOUT)
        if opening is not None and opening.done:
            self._opening = None
            _say(opening.result())

    def _joining(self, peer: Peer, data: bytes) -> None:
        """Bytes of a connection that has not joined yet."""
        opening = self._opening
        assert opening is not None
        try:
            rest = peer.join(data)
        except (FrameError, OSError) as error:
            self._drop(peer)
            opening.fail(str(error))
            self._start_more()
            return
        if peer.joined:
            opening.joined += 1
            if peer.stalled:
                self._poll.unregister(peer.fd)
            elif rest:
                self._received(peer, rest)
            self._start_more()

    # Receiving

    def _event(self, fd: int, event: int) -> None:
        peer = self._peers.get(fd)
        if peer is None:
            return
        if event & select.EPOLLOUT and not peer.asked:
            with suppress(OSError):  # a refused connection shows when it is read
                peer.ask()
            self._poll.modify(fd, select.EPOLLIN)
            return
        try:
            size = os.readv(fd, self._buffers)
        except BlockingIOError:
            return
        except OSError as error:
            self._ended(peer, str(error))
            return
        data = bytes(self._read[:size])
        if not data:
            self._ended(peer, "closed by the server")
        elif peer.joined:
            self._received(peer, data)
        else:
            self._joining(peer, data)

    def _received(self, peer: Peer, data: bytes) -> None:
        if peer.rest:
            data = peer.rest + data
        try:
            chunk = self._reader.read(data)
        except FrameError as error:
            self._ended(peer, str(error))
            return
        peer.rest = chunk.rest
        if chunk.total:
            tally = self._tally
            if chunk.contiguous and (peer.expected == chunk.first):
                tally.received += chunk.total
                peer.expected = chunk.after
            else:
                peer.expected = tally.take(peer.expected, chunk.seqs)
            if peer.sampled:
                tally.late(now(), chunk.stamps)
        for opcode, content in chunk.others:
            self._tally.others += 1
            if opcode == CLOSE:
                self._ended(peer, "closed by the server")
                return
            reply = inbound.answer(opcode, content)
            if reply is not None:
                with suppress(OSError):
                    peer.socket.send(reply)

    def _ended(self, peer: Peer, why: str) -> None:
        opening = self._opening
        self._drop(peer)
        if not peer.joined and opening is not None:
            opening.fail(why)
            self._start_more()
        else:
            self._lost += 1

    def _drop(self, peer: Peer) -> None:
        self._peers.pop(peer.fd, None)
        with suppress(OSError):  # a stalled one is not registered
            self._poll.unregister(peer.fd)
        peer.socket.close()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    Client().run()
