"""A connected socket that is read as cheaply as gevent can."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import gevent
from gevent.event import AsyncResult
from gevent.lock import Semaphore

READ = 65_536

_BREATH = 50
"""Reads after which others get their turn: one from a busy socket never yields, and one flooded user would hang the
process.
"""

_READABLE = 1


class Line:
    """`sock` is connected, with nothing read that has not been used."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._sending = Semaphore()
        sock.settimeout(None)

    def write(self, data: bytes) -> None:
        """Send all of it, before anything else is sent. Raises OSError."""
        with self._sending:
            self._socket.sendall(data)

    def read(self, took: Callable[[bytes], None]) -> None:
        """Hand over what comes, as soon as it comes, until the end. `took` must not wait. Raises OSError and what `took`
        raises.
        """
        if isinstance(self._socket, ssl.SSLSocket):
            self._read_waiting(took)
        else:
            self._read_called(took)

    def drop(self) -> None:
        """End it without a word: whoever reads comes to the end."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the socket."""
        self._socket.close()

    def _read_waiting(self, took: Callable[[bytes], None]) -> None:
        """With TLS: what is readable, only its layer knows."""
        count = 0
        while data := self._socket.recv(READ):
            took(data)
            count += 1
            if count % _BREATH == 0:
                gevent.sleep(0)

    def _read_called(self, took: Callable[[bytes], None]) -> None:
        """The loop calls when there is something: a third of what it costs to wake a greenlet for it."""
        number, over = self._socket.fileno(), AsyncResult()
        watcher = gevent.get_hub().loop.io(number, _READABLE)

        def readable() -> None:
            try:
                if data := os.read(number, READ):
                    took(data)
                    return
                over.set(None)
            except BlockingIOError:
                return
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                over.set_exception(error)
            watcher.stop()

        watcher.start(readable)
        try:
            over.get()
        finally:
            watcher.stop()
            watcher.close()
