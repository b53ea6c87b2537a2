"""Who is let in without ASGI: those with a token seen before, or none; everybody else is left to the routes."""

from __future__ import annotations

import contextvars

import pytest

from services.gateway.node.quota import Quota
from services.gateway.session.native import NativeSession
from services.gateway.session.plain import NotifySession, RoomSession
from services.gateway.transports.websocket import WebSocketRoutes
from services.gateway.websocket.handshake import Request
from services.kernel.domain.claims import Claims
from services.kernel.domain.limits import Limits
from services.kernel.domain.origins import Origins
from tests.support.gateway_host import ManualHost, RecordingConnection


class Node(ManualHost):
    """A host with what routes ask of a node; `seen` is a token that was verified before."""

    def __init__(self):
        super().__init__()
        self.draining = False
        self.limits = Limits(connections_per_address=1)
        self.quota = Quota(self.limits)

    def seen(self, token):
        return Claims(sub="bob") if token == "seen" else None


@pytest.fixture
def node():
    return Node()


@pytest.fixture
def welcome(node):
    routes = WebSocketRoutes(node, Origins(), echo_max_bytes=0)

    def ask(target, client="1.2.3.4", **headers):
        request = Request()
        request.target = target.encode()
        for name, value in headers.items():
            request.on_header(name.encode(), value.encode())
        # In a context of its own, as the server asks: the request's id must not stay in the logs of others.
        return contextvars.copy_context().run(routes.welcome, request, client)

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
def test_let_in(welcome, node, target, expected):
    found = welcome(target)
    assert found is not None
    assert found.max_bytes == node.limits.frame_bytes
    assert found.greets == ("?" in target)  # without a token the client speaks first
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
def test_left_to_the_routes(welcome, node, target):
    assert welcome(target) is None
    node.quota.admit("1.2.3.4")  # and not counted


def test_a_cookie_from_a_foreign_page_is_left_to_them_too(welcome):
    cookie = {"cookie": "openline_token=seen", "host": "here"}
    assert welcome("/ws", origin="http://evil", **cookie) is None
    assert welcome("/ws", origin="http://here", **cookie) is not None


def test_the_authorization_header_comes_first(welcome):
    assert welcome("/ws?token=seen", authorization="Bearer other") is None
    assert welcome("/ws?token=other", authorization="Bearer seen") is not None


def test_nobody_is_let_in_over_the_limit_of_an_address_or_while_leaving(welcome, node):
    assert welcome("/ws?token=seen") is not None
    assert welcome("/ws?token=seen") is None
    node.quota.release("1.2.3.4")
    node.draining = True
    assert welcome("/ws?token=seen") is None
    node.draining = False
    assert welcome("/ws?token=seen") is not None
