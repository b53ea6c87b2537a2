"""Does the load client count right? A server whose mistakes are known tells."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from loadtest.bench.payload import body
from loadtest.bench.remote import Remote

PEERS = 3
SCRIPT = [1, 2, 3, 5, 6, 6, 8, 7, 9]
"""Numbers that the server sends: 4 and 7 are passed over, 6 comes twice and 7 late."""

EXPECTED = {"received": len(SCRIPT) * PEERS, "gaps": 2 * PEERS, "reorders": 2 * PEERS, "lost": 0}
_PATIENCE = 5


class CountError(Exception):
    """The client counted wrong: no figure of this run would mean anything."""


def check() -> dict[str, Any]:
    """Let a load client read the script; its report. Raises CountError."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, Remote("client") as client:
        port = listener.getsockname()[1]
        server = threading.Thread(target=_serve, args=(listener, held), daemon=True)
        server.start()
        client.ask("open", host="127.0.0.1", port=port, paths=["/"], count=PEERS, sample=1)
        deadline = time.monotonic() + _PATIENCE
        while client.ask("progress")["received"] < EXPECTED["received"]:
            if time.monotonic() > deadline:
                break
        report = client.ask("report")
    for peer in held:
        peer.close()
    counted = {name: report[name] for name in EXPECTED}
    timed = sum(report["steps"].values())
    if counted != EXPECTED or timed != report["received"]:
        raise CountError(f"the load client counts {counted} and times {timed}; right is {EXPECTED}")
    return report


def _serve(listener: socket.socket, held: list[socket.socket]) -> None:
    for _ in range(PEERS):
        peer, _address = listener.accept()
        held.append(peer)
        _shake(peer)
    for peer in held:
        for part in _parts():
            peer.sendall(part)


def _shake(peer: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += peer.recv(4096)
    peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")


def _parts() -> list[bytes]:
    """The script's frames, cut where no frame ends."""
    stream = b""
    for seq in SCRIPT:
        message = body(seq)
        stream += bytes([0x81, 126]) + len(message).to_bytes(2, "big") + message
    return [stream[:100], stream[100:131], stream[131:700], stream[700:]]
