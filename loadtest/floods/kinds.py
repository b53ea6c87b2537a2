"""The floods: everything that one address may send without end, as bytes."""

from __future__ import annotations

import json
from typing import Any

from loadtest.bench import frames
from loadtest.floods.access import Access
from loadtest.floods.flood import Flood

CHECKED = "checked"
"""A namespace with a JSON Schema, if there is one."""

ROOM = "room:floods"
_MESSAGE = 60_000
_CONTINUATION = 0x0
_BINARY = 0x2
_CONNECTED = b'"type":"connected"'
_HOST = "floods.example"


def all_of(access: Access) -> list[Flood]:
    """Every flood against this system."""
    access.fill(ROOM)
    token = access.token("flooder")
    kinds = [
        *_sockets(),
        *_framing(token),
        *_data(token),
        *_commands(token),
        *_handshakes(token),
        *_calls(token),
    ]
    if access.has(CHECKED):
        document = [{"id": n, "tags": ["a", "b"]} for n in range(2400)]
        kinds.append(_native(token, "schemas", [_publish(document, channel=f"{CHECKED}:floods")]))
    return kinds


# Sockets that do nothing, or little


def _sockets() -> list[Flood]:
    begun = f"GET / HTTP/1.1\r\nHost: {_HOST}\r\n".encode()
    post = (
        f"POST /v1/messages HTTP/1.1\r\nHost: {_HOST}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer x\r\nContent-Length: 1000000\r\n\r\n"
    ).encode()
    return [
        Flood(name="idle sockets", connections=800, pause=5),
        Flood(name="slow headers", opening=begun, block=b"X: 1\r\n", pause=0.5, connections=400),
        Flood(
            name="slow bodies",
            service="publisher",
            opening=post,
            block=b" ",
            pause=0.5,
            connections=400,
        ),
    ]


# Frames


def _framing(token: str) -> list[Flood]:
    fragment = bytes([_CONTINUATION, 0x81, 1, 2, 3, 4, ord("x") ^ 1])
    first = bytes([frames.TEXT, 0x81, 1, 2, 3, 4, ord("x") ^ 1])
    echo = frames.request("/ws/echo", _HOST)
    message = frames.client(frames.TEXT, b"x" * _MESSAGE)
    return [
        _framed(token, "fragments of one byte", first, fragment * 9000),
        _framed(token, "pings", b"", frames.client(frames.PING, b"p") * 9000),
        _framed(token, "pongs", b"", frames.client(frames.PONG, b"") * 9000),
        _framed(token, "empty messages", b"", frames.client(frames.TEXT, b"") * 9000),
        Flood(name="echoes", opening=echo, awaited=b"\r\n\r\n", block=message),
        Flood(name="echoes unread", opening=echo, awaited=b"\r\n\r\n", block=message, reads=False),
        Flood(
            name="small echoes",
            opening=echo,
            awaited=b"\r\n\r\n",
            block=frames.client(frames.TEXT, b"x") * 9000,
        ),
    ]


def _framed(token: str, name: str, first: bytes, block: bytes) -> Flood:
    opening = frames.request(f"/ws?token={token}", _HOST)
    # The first fragment goes with the handshake: the awaited answer to that comes all the same.
    return Flood(name=name, opening=opening + first, awaited=_CONNECTED, block=block)


# Data that is costly to check


def _data(token: str) -> list[Flood]:
    tiny = b"\xdd" + (55_000).to_bytes(4, "big") + b"\x90" * 55_000
    bomb = b"\xdd\xff\xff\xff\xff" * 60
    return [
        _native(token, "nested JSON", [_publish_raw("[" * _MESSAGE)]),
        _native(token, "wide JSON", [_publish_raw("[" + "[]," * 19_000 + "[]]")]),
        _native(token, "messages that are no command", ["{" * 1000]),
        _packed(token, "tiny MessagePack items", tiny),
        _packed(token, "MessagePack bombs", bomb),
        _native(token, "publishes", [_publish("x" * _MESSAGE)]),
    ]


def _publish(data: Any, *, channel: str = ROOM) -> str:
    return _publish_raw(json.dumps(data, separators=(",", ":")), channel=channel)


def _publish_raw(text: str, *, channel: str = ROOM) -> str:
    return f'{{"type":"publish","channel":"{channel}","data":{text}}}'


def _packed(token: str, name: str, data: bytes) -> Flood:
    command = b"\x83\xa4type\xa7publish\xa7channel\xab" + ROOM.encode() + b"\xa4data" + data
    opening = frames.request(
        f"/ws?token={token}", _HOST, headers="Sec-WebSocket-Protocol: openline.msgpack.v1\r\n"
    )
    return Flood(
        name=name,
        opening=opening,
        awaited=b"connected",
        block=frames.client(_BINARY, command),
    )


# Commands


def _commands(token: str) -> list[Flood]:
    subscribe = {"type": "subscribe", "channel": ROOM}
    rooms = [f"room:floods-{n}" for n in range(50)]
    churn = [{"type": kind, "channel": room} for room in rooms for kind in _IN_AND_OUT]
    return [
        _native(token, "subscribing and unsubscribing", churn),
        _native(token, "last: 1000, unread", [{**subscribe, "last": 1000}], reads=False),
        _native(token, "history", [{"type": "history", "channel": ROOM, "limit": 500}], subscribe),
        _native(token, "presence", [{"type": "presence", "channel": ROOM}], subscribe),
        _native(token, "typing", [{"type": "typing", "channel": ROOM}], subscribe),
    ]


_IN_AND_OUT = ("subscribe", "unsubscribe")


def _native(
    token: str, name: str, commands: list[Any], first: Any = None, *, reads: bool = True
) -> Flood:
    """Commands over and over: a burst of them at once, so that no time is lost between."""
    opening = frames.request(f"/ws?token={token}", _HOST)
    if first is not None:
        opening += _frame(first)
    block = b"".join(map(_frame, commands))
    block *= max(1, 65_536 // len(block))
    return Flood(name=name, opening=opening, awaited=_CONNECTED, block=block, reads=reads)


def _frame(command: Any) -> bytes:
    text = command if isinstance(command, str) else json.dumps(command, separators=(",", ":"))
    return frames.client(frames.TEXT, text.encode())


# Handshakes


def _handshakes(token: str) -> list[Flood]:
    cookie = 'Cookie: a="' + '\\"' * 3500 + '"\r\n'
    headers = "".join(f"X-{n}: {'x' * 900}\r\n" for n in range(8))
    sse = f"GET /sse?channel=public:all HTTP/1.1\r\nHost: {_HOST}\r\n\r\n".encode()
    return [
        _once("handshakes", frames.request(f"/ws?token={token}", _HOST)),
        _once("handshakes with big cookies", frames.request("/ws", _HOST, headers=cookie)),
        _once("handshakes with big headers", frames.request("/ws", _HOST, headers=headers)),
        _once("handshakes with forged tokens", frames.request(f"/ws?token={_forged()}", _HOST)),
        _once("event streams", sse),
    ]


def _once(name: str, block: bytes, service: str = "gateway") -> Flood:
    return Flood(name=name, service=service, block=block, once=True, connections=32)


def _forged() -> str:
    return (
        "eyJhbGciOiJFZERTQSIsImtpZCI6ImEiLCJ0eXAiOiJKV1QifQ."
        "eyJzdWIiOiJhbGljZSIsImlzcyI6Imh0dHA6Ly8xMjcuMC4wLjEifQ." + "A" * 86
    )


# HTTP calls


def _calls(token: str) -> list[Flood]:
    form = "Content-Type: application/x-www-form-urlencoded\r\n"
    guess = "grant_type=password&username=alice&password=guess"
    refresh = "grant_type=refresh_token&refresh_token=forged"
    message = json.dumps({"data": "x" * _MESSAGE})
    typed = "Content-Type: application/json\r\n"
    forged = f"Authorization: Bearer {_forged()}\r\n{typed}"
    return [
        _call("tickets", "auth", "/auth/tickets", f"Authorization: Bearer {token}\r\n", ""),
        _call("refresh tokens that are forged", "auth", "/auth/token", form, refresh),
        _call("guessed passwords", "auth", "/auth/token", form, guess),
        _call("publishes with forged tokens", "publisher", "/v1/messages", forged, message),
        Flood(
            name="static files",
            service="front_door",
            block=f"GET / HTTP/1.1\r\nHost: {_HOST}\r\n\r\n".encode() * 20,
            connections=8,
        ),
    ]


def _call(name: str, service: str, path: str, headers: str, body: str) -> Flood:
    request = (
        f"POST {path} HTTP/1.1\r\nHost: {_HOST}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        f"{body}"
    )
    return Flood(name=name, service=service, block=request.encode(), connections=8)
