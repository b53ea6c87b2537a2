"""Server-Sent Events: blocks that EventSource reads, and a cursor that comes back unchanged."""

from __future__ import annotations

import base64

import pytest

from services.kernel.domain.codes import Code
from services.kernel.domain.positions import Position
from services.kernel.protocol import sse
from tests.support.refusals import refused


def test_a_block_names_its_event_and_ends_with_an_empty_line():
    assert sse.block("message", b'{"a":1}') == b'event: message\ndata: {"a":1}\n\n'
    assert sse.block("reset", b"{}", cursor="1abc") == b"event: reset\ndata: {}\nid: 1abc\n\n"


def test_a_heartbeat_is_a_comment_and_retry_a_number():
    assert sse.HEARTBEAT.startswith(b":")
    assert sse.retry(1500) == b"retry: 1500\n"


@pytest.mark.parametrize(
    "at",
    [
        {},
        {"room:x": Position("e", 0)},
        {"room:a.b|c=+-@": Position("Zz9", 2**63 - 1), "user:bob": Position("f", 7)},
        {f"room:{n}": Position("e" * 12, n) for n in range(100)},
    ],
)
def test_a_cursor_reads_back(at):
    assert sse.decode_cursor(sse.encode_cursor(at)) == at


def test_a_cursor_needs_no_escape_in_urls_and_headers():
    cursor = sse.encode_cursor({f"room:{n}~": Position("e", n) for n in range(50)})
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_the_longest_cursor_of_some_channels_is_known_before():
    names = [f"room:{'x' * n}" for n in range(1, 60)]
    longest = {name: Position("e" * 32, 2**63 - 1) for name in names}
    assert len(sse.encode_cursor(longest)) <= sse.longest_cursor(names)
    assert sse.longest_cursor(names) - len(sse.encode_cursor(longest)) < 5


def pack(text):
    return "1" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "2" + pack("room:x e:1")[1:],
        "1*",
        "1A",
        "1é",
        "1_w",
        pack("room:x"),
        pack("room:x e"),
        pack("nothing e:1"),
        pack("room:x e:01"),
        pack("room:x e:1\n"),
        pack("room:x e:1\nroom:x e:2"),
        pack("room:x e:1") + "=",
        pack("room:x e:1\nroom:y f:22")[:-1] + "x",
        "1AB",
    ],
)
def test_a_cursor_that_was_never_given_is_refused(cursor):
    with refused(Code.BAD_REQUEST, "cursor: send back"):
        sse.decode_cursor(cursor)


def test_a_cursor_is_bounded_before_it_is_read():
    with refused(Code.BAD_REQUEST, "more than 16000 characters"):
        sse.decode_cursor("1" + "A" * 16_000)


def test_data_alone_is_an_event_without_a_name():
    assert sse.data(b"{}") == b"data: {}\n\n"
