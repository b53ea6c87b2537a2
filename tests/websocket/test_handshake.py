"""The opening handshake, bytes in and bytes out (RFC 6455 section 4.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.websocket import handshake
from services.gateway.websocket.handshake import Refusal

LINES = [
    b"GET /ws?a=1 HTTP/1.1",
    b"Host: example",
    b"Upgrade: WebSocket",
    b"Connection: keep-alive, Upgrade",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
]


def wire(*more, without=None, line=None):
    lines = [item for item in LINES if without is None or not item.lower().startswith(without)]
    if line is not None:
        lines[0] = line
    return b"\r\n".join([*lines, *more, b"", b""])


def refused(data):
    with pytest.raises(Refusal) as caught:
        handshake.scope(handshake.parse(data), root_path="", state={})
    return caught.value.status


def test_the_sample_of_the_rfc_is_accepted():
    request = handshake.parse(wire())
    answer = handshake.accept(request, subprotocol=None, headers=[])
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_the_scope_has_the_root_path_in_front_of_the_path():
    request = handshake.parse(wire(line=b"GET /a%20b?q=%20 HTTP/1.1"))
    state = {"x": 1}
    scope = handshake.scope(request, root_path="/base", state=state)
    assert scope["path"] == "/base/a b"
    assert scope["raw_path"] == b"/base/a%20b"
    assert scope["query_string"] == b"q=%20"
    assert scope["state"] == state
    assert scope["state"] is not state


@pytest.mark.parametrize("header", [b"host", b"upgrade", b"connection", b"sec-websocket-key"])
def test_a_missing_header_is_400(header):
    assert refused(wire(without=header)) == 400


@pytest.mark.parametrize(
    "line",
    [
        b"POST /ws HTTP/1.1",
        b"GET /ws HTTP/1.0",
        b"GET http:// HTTP/1.1",
        b"GET /\xc3\xa4 HTTP/1.1",
        b"GET",
        b"CONNECT a:1 HTTP/1.1",
    ],
)
def test_a_request_line_that_is_no_handshake_is_400(line):
    assert refused(wire(line=line)) == 400


@pytest.mark.parametrize(
    "key", [b"", b"AAAA", b"dGhlIHNhbXBsZSBub25jZQ", b"dGhlIHNhbXBsZSBub25jZQ==!", b"\xff" * 24]
)
def test_a_key_that_is_not_16_bytes_of_base64_is_400(key):
    without = b"sec-websocket-key"
    assert refused(wire(b"Sec-WebSocket-Key: " + key, without=without)) == 400


def test_two_keys_are_400():
    assert refused(wire(LINES[4])) == 400


def test_two_origins_are_400():
    assert refused(wire(b"Origin: https://a.example", b"Origin: https://b.example")) == 400


@pytest.mark.parametrize("more", [[], [b"Sec-WebSocket-Version: 8"]])
def test_another_version_or_none_is_426_and_names_ours(more):
    with pytest.raises(Refusal) as caught:
        handshake.parse(wire(*more, without=b"sec-websocket-version"))
    answer = handshake.refuse(caught.value, [(b"server", b"x")])
    assert answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert b"\r\nsec-websocket-version: 13\r\n" in answer
    assert b"\r\nserver: x\r\n" in answer


@pytest.mark.parametrize(
    ("headers", "offered"),
    [
        ([], []),
        ([b"Sec-WebSocket-Protocol:"], []),
        ([b"Sec-WebSocket-Protocol: ,"], []),
        ([b"Sec-WebSocket-Protocol: a, b", b"Sec-WebSocket-Protocol: c"], ["a", "b", "c"]),
    ],
)
def test_subprotocols_are_read_from_every_line(headers, offered):
    assert handshake.parse(wire(*headers)).subprotocols == offered


def test_only_an_offered_subprotocol_can_be_chosen():
    request = handshake.parse(wire(b"Sec-WebSocket-Protocol: a"))
    assert b"sec-websocket-protocol: a\r\n" in handshake.accept(
        request, subprotocol="a", headers=[]
    )
    with pytest.raises(ValueError, match="not offered"):
        handshake.accept(request, subprotocol="b", headers=[])


@pytest.mark.parametrize(
    "header", [(b"a b", b"c"), (b"a", b"b\r\nc: d"), (b"a", b"\0"), (b"", b"")]
)
def test_a_header_that_would_break_the_answer_apart_is_refused(header):
    with pytest.raises(ValueError, match="not valid"):
        handshake.response(200, [header])


def test_a_status_without_a_name_is_written_as_it_is():
    assert handshake.response(599, []) == b"HTTP/1.1 599 \r\n\r\n"


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(data):
    with pytest.raises(Refusal):
        handshake.parse(data)
