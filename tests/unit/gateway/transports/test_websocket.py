"""Who is accepted without ASGI: clients with a token seen before, or none; everybody else is left to the routes."""

from __future__ import annotations

import contextvars

import pytest

from services.gateway.session.native import NativeSession
from services.gateway.session.plain import NotifySession, RoomSession
from services.gateway.transports.websocket import WebSocketRoutes
from services.gateway.websocket import Request
from services.kernel.domain.origins import Origins
from tests.support.gateway_host import RecordingConnection
from tests.unit.gateway.transports.gate import Gate


@pytest.fixture
def node():
    return Gate()


@pytest.fixture
def accept(node):
    routes = WebSocketRoutes(node, Origins(), echo_max_bytes=0)

    def ask(target, **headers):
        request = Request()
        request.target = target.encode()
        for name, value in headers.items():
            request.on_header(name.replace("_", "-").encode(), value.encode())
        # In a context of its own, as the server asks: the request's id must not stay in the logs of others.
        return contextvars.copy_context().run(routes.fast_accept, request)

    return ask


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/ws?token=seen", NativeSession),
        ("/ws?anonymous=1", NativeSession),
        ("/ws", NativeSession),
        ("/ws/rooms/a-b.c?token=seen", RoomSession),
        ("/ws/rooms/a?token=seen&last=5", RoomSession),
        ("/ws/notify/news?token=seen", NotifySession),
    ],
)
def test_accepted(accept, node, target, expected):
    found = accept(target)
    assert found is not None
    assert found.max_bytes == node.limits.frame_bytes
    greets = (
        "?" in target and expected is not NotifySession
    )  # without a token the client speaks first
    assert found.greets == greets
    assert type(found.receiver(RecordingConnection(node))) is expected


@pytest.mark.parametrize(
    "target",
    [
        "/ws?token=other",
        "/ws?ticket=t",
        "/ws?ticket=t&token=seen",
        "/ws/rooms/a%2Fb?token=seen",
        "/ws/rooms/a/b?token=seen",
        "/ws/rooms/?token=seen",
        "/ws/rooms/a?token=seen&last=x",
        "/ws/rooms/a?token=seen&since=x",
        "/ws/other/a?token=seen",
        "/ws/echo?token=seen",
        "/ws/?token=seen",
        "/wss?token=seen",
        "http://here/ws?token=seen",
        "/ws#?token=seen",
        "/ws?token=seen#x",
    ],
)
def test_left_to_the_routes(accept, target):
    assert accept(target) is None


def test_the_subprotocol_is_the_first_that_is_known(accept):
    offered = "other, openline.msgpack.v1, openline.json.v1"
    assert accept("/ws", sec_websocket_protocol=offered).subprotocol == "openline.msgpack.v1"
    assert accept("/ws").subprotocol is None


def test_a_cookie_from_a_foreign_page_is_left_to_them_too(accept):
    cookie = {"cookie": "openline_token=seen", "host": "here"}
    assert accept("/ws", origin="http://evil", **cookie) is None
    assert accept("/ws", origin="http://here", **cookie) is not None


def test_the_authorization_header_comes_first(accept):
    assert accept("/ws?token=seen", authorization="Bearer other") is None
    assert accept("/ws?token=other", authorization="Bearer seen") is not None


def test_nobody_is_accepted_while_the_node_is_leaving(accept, node):
    node.draining = node.turns_away = True
    assert accept("/ws?token=seen") is None
    node.draining = node.turns_away = False
    assert accept("/ws?token=seen") is not None
