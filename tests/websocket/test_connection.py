"""Reading in turns: a connection's frames against a clock and a transport of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.websocket.byte_rate import PIECE
from services.gateway.websocket.connection import Shared, WebSocketConnection
from services.gateway.websocket.frame_rate import PATIENCE
from services.gateway.websocket.frames import split_frames
from services.gateway.websocket.slicer import SLICE
from tests.support.websocket_peer import frame

LOOK = SLICE / 100
"""What each look at the clock takes: a turn has some hundred frames."""

EMPTY, FRAGMENT, PING, PONG = frame(1), frame(0, b"x", fin=False), frame(9, b"p"), frame(10)
FIRST_FRAGMENT = frame(1, b"x", fin=False)


class Transport(asyncio.Transport):
    """Writes down what is written; has nothing to read while it is paused."""

    def __init__(self):
        super().__init__()
        self.written = bytearray()
        self.reading = True
        self.closing = False

    def set_write_buffer_limits(self, high=None, low=None): ...

    def write(self, data):
        self.written += data

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True


class Receiver:
    """Counts messages."""

    def __init__(self):
        self.texts = []
        self.ends = []

    def received_text(self, text):
        self.texts.append(text)

    def received_pong(self): ...

    def closed(self, code, reason, clean):
        self.ends.append((code, reason, clean))


class Server:
    """Connections that share turns."""

    def __init__(self, frame_rate=0, byte_rate=0):
        self.now = 0.0
        self.shared = Shared(
            asyncio.get_running_loop(), set(), frame_rate=frame_rate, byte_rate=byte_rate
        )
        self.shared.slicer.clock = self.look

    def look(self):
        self.now += LOOK
        return self.now

    def connect(self, max_bytes=1 << 20):
        transport, receiver = Transport(), Receiver()
        connection = WebSocketConnection(
            transport, self.shared, address="192.0.2.1", max_bytes=max_bytes
        )
        connection.start(lambda _: receiver)
        return connection, transport, receiver

    async def turns_until(self, condition):
        """How much time each of the loop's turns took until it is so."""
        took, before = [], self.now
        while not condition():
            await asyncio.sleep(0)
            took.append(self.now - before)
            before = self.now
            assert len(took) < 10_000, "it did not happen"
        return took

    def next_second(self):
        self.shared.frame_rate._next_second()


def closings(transport):
    return [
        (int.from_bytes(payload[:2], "big"), payload[2:].decode())
        for opcode, payload in split_frames(bytes(transport.written))
        if opcode == 8
    ]


@pytest.mark.parametrize("piece", [EMPTY, PING, PONG, FRAGMENT])
async def test_tiny_frames_of_many_connections_share_one_slice_of_a_turn(piece):
    server = Server()
    floods = [server.connect() for _ in range(5)]
    before = server.now
    for connection, _, _ in floods:
        if piece is FRAGMENT:
            connection.data_received(FIRST_FRAGMENT)
        connection.data_received(piece * 2000 + frame(1, b"end", fin=piece is not FRAGMENT))
    assert server.now - before < 2 * SLICE
    took = await server.turns_until(lambda: all(item[1].reading for item in floods))
    assert max(took) < 2 * SLICE
    assert sum(took) > 50 * SLICE


async def test_who_says_one_thing_is_answered_in_the_next_turn_of_a_flood():
    server = Server()
    floods = [server.connect() for _ in range(20)]
    for connection, _, _ in floods:
        connection.data_received(PONG * 1000)
    bystander, transport, receiver = server.connect()
    bystander.data_received(frame(1, b"hello"))
    assert not receiver.texts  # the floods had this turn
    assert not transport.reading
    await server.turns_until(lambda: receiver.texts)
    assert transport.reading
    assert sum(item[1].reading for item in floods) < 2  # they are not through by far


async def test_messages_keep_their_order_and_none_is_lost_when_they_wait_for_turns():
    server = Server()
    connection, transport, receiver = server.connect()
    texts = [b"%d" % number for number in range(1000)]
    wire = b"".join(frame(1, text) for text in texts)
    for start in range(0, len(wire), 1001):
        await server.turns_until(lambda: transport.reading)
        connection.data_received(wire[start : start + 1001])
    await server.turns_until(lambda: len(receiver.texts) == len(texts))
    assert receiver.texts == texts


async def test_more_bytes_than_the_rate_wait_and_none_is_lost():
    server = Server(byte_rate=100 * PIECE)
    connection, transport, receiver = server.connect()
    message = b"x" * (PIECE // 2)
    for number in range(1, 5):
        await server.turns_until(lambda: transport.reading)
        connection.data_received(frame(1, message))
        assert transport.reading == (number % 2 == 1)
    await server.turns_until(lambda: transport.reading)
    assert receiver.texts == [message] * 4


@pytest.mark.parametrize("first", ["the receiver", "the rate"])
async def test_who_waits_for_two_reasons_is_read_once_both_have_ended(first):
    server = Server(byte_rate=100 * PIECE)
    connection, transport, _ = server.connect()
    connection.pause_reading()
    connection.data_received(frame(1, b"x" * PIECE))
    rate = server.shared.byte_rate
    if first == "the receiver":
        connection.resume_reading()
        assert not transport.reading
        await server.turns_until(lambda: not rate.is_waiting(connection))
    else:
        await server.turns_until(lambda: not rate.is_waiting(connection))
        assert not transport.reading
        connection.resume_reading()
    assert transport.reading


async def test_small_reads_do_not_count_for_the_rate_of_bytes():
    server = Server(byte_rate=PIECE)
    connection, transport, receiver = server.connect()
    for _ in range(100):
        await server.turns_until(lambda: transport.reading)
        connection.data_received(frame(1, b"x" * 2000))
    await server.turns_until(lambda: len(receiver.texts) == 100)
    assert not server.shared.byte_rate.is_waiting(connection)


async def test_more_frames_than_the_rate_wait_for_the_next_second():
    server = Server(frame_rate=100)
    connection, transport, receiver = server.connect()
    connection.data_received(PONG * 99 + frame(1, b"now") + frame(1, b"later"))
    await server.turns_until(lambda: receiver.texts)
    assert (receiver.texts, transport.reading) == ([b"now"], False)
    server.next_second()
    await server.turns_until(lambda: transport.reading)
    assert receiver.texts == [b"now", b"later"]
    assert not closings(transport)


@pytest.mark.parametrize("piece", [EMPTY, PING, PONG, FRAGMENT])
async def test_who_stays_above_the_rate_is_told_so_and_closed(piece):
    server = Server(frame_rate=100)
    connection, transport, receiver = server.connect()
    if piece is FRAGMENT:
        connection.data_received(FIRST_FRAGMENT)
    for second in range(PATIENCE + 1):
        assert not receiver.ends, second
        connection.data_received(piece * 150)
        await server.turns_until(
            lambda: server.shared.frame_rate.left(connection) <= 0 or receiver.ends
        )
        server.next_second()
    reason = "more than 100 frames a second for 10 s; send fewer"
    assert closings(transport) == [(1008, reason)]
    assert receiver.ends == [(1008, reason, False)]
    connection.data_received(piece * 150)
    assert transport.reading  # what comes now is thrown away until the peer leaves


async def test_what_comes_behind_our_close_frame_is_looked_through_at_once():
    server = Server(frame_rate=100)
    connection, transport, receiver = server.connect()
    connection.data_received(PONG * 150)
    connection.close(4000, "enough")
    server.next_second()
    await server.turns_until(lambda: transport.reading)
    connection.data_received(PONG * 1000 + frame(8, b"\x0f\xa0"))
    await server.turns_until(lambda: receiver.ends)
    assert receiver.ends == [(4000, "enough", True)]


async def test_a_large_frame_in_many_pieces_counts_once():
    server = Server(frame_rate=10)
    connection, transport, receiver = server.connect()
    wire = frame(1, b"x" * 10_000)
    for start in range(0, len(wire), 100):
        await server.turns_until(lambda: transport.reading)
        connection.data_received(wire[start : start + 100])
    await server.turns_until(lambda: transport.reading)
    assert receiver.texts == [b"x" * 10_000]


async def test_a_session_that_resumes_does_not_make_more_be_read_than_can_be_taken():
    server = Server(frame_rate=10)
    connection, transport, _ = server.connect()
    connection.data_received(PONG * 20)
    connection.pause_reading()
    connection.resume_reading()
    assert not transport.reading
    server.next_second()
    await server.turns_until(lambda: transport.reading)


async def test_the_ends_of_many_connections_wait_for_their_turns():
    server = Server()
    ended = [server.connect() for _ in range(1000)]
    for connection, _, _ in ended:
        assert connection.eof_received()  # else the transport would close here and now
    assert not any(transport.closing for _, transport, _ in ended)
    took = await server.turns_until(lambda: all(receiver.ends for _, _, receiver in ended))
    assert all(transport.closing for _, transport, _ in ended)
    assert max(took) < 2 * SLICE
    assert len(took) > 5


async def test_nothing_is_written_to_who_has_left_and_waits_for_its_end():
    server = Server()
    connection, transport, receiver = server.connect()
    connection.eof_received()
    connection.send_text(b"too late")
    await server.turns_until(lambda: receiver.ends)
    assert not transport.written
    assert receiver.ends == [(1006, "", False)]
