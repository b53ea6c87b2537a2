"""One decision for both handshakes: accepted, to be verified first, or refused with a reason."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from services.gateway.transports.admission import Admission, Unverified
from services.gateway.transports.endpoints import ENDPOINTS
from services.gateway.websocket import Acceptance
from services.kernel.domain.codes import Code
from services.kernel.domain.origins import Origins
from tests.support.gateway_host import RecordingConnection
from tests.support.refusals import refused
from tests.unit.gateway.transports.gate import Gate

NATIVE, ROOM, _ = ENDPOINTS


@pytest.fixture
def node():
    return Gate()


@pytest.fixture
def admission(node):
    return Admission(node, Origins())


def asking(query="", **scope):
    headers = [(b"host", b"here")]
    scope = {"type": "websocket", "headers": headers, "query_string": query.encode(), **scope}
    return HTTPConnection(scope)


@pytest.mark.parametrize("query", ["token=seen", "anonymous=1", ""])
def test_what_is_known_or_comes_later_is_accepted(admission, query):
    assert isinstance(admission.admit(asking(query), NATIVE, values=()), Acceptance)


@pytest.mark.parametrize(
    ("query", "user"),
    [("token=bob", "bob"), ("ticket=x", "ticket-x"), ("ticket=seen", "ticket-seen")],
)
async def test_what_must_be_looked_up_is_accepted_afterwards(admission, node, query, user):
    decision = admission.admit(asking(query), NATIVE, values=())
    assert isinstance(decision, Unverified)
    acceptance = await admission.verify(decision)
    session = acceptance.receiver(RecordingConnection(node))
    assert (session.user, session.opened) == (user, True)


async def test_a_token_that_is_not_good_is_refused(admission):
    decision = admission.admit(asking("token=bad"), NATIVE, values=())
    with refused(Code.UNAUTHORIZED):
        await admission.verify(decision)


@pytest.mark.parametrize(
    "query", ["last=x", "last=-1", "last=99999", "since=nonsense", "since=e:1&last=2"]
)
def test_a_place_that_cannot_be_is_refused(admission, query):
    with refused(Code.BAD_REQUEST):
        admission.admit(asking(query), ROOM, values=("a",))


def test_a_leaving_node_refuses(admission, node):
    node.draining = node.turns_away = True
    with refused(Code.UNAVAILABLE):
        admission.admit(asking("token=seen"), NATIVE, values=())


def test_a_node_that_hands_over_connections_refuses_newcomers(admission, node):
    node.turns_away = True
    with refused(Code.UNAVAILABLE, "hands connections to others"):
        admission.admit(asking("token=seen"), NATIVE, values=())


def test_a_client_without_a_token_has_not_opened_its_session(admission, node):
    session = admission.admit(asking(), NATIVE, values=()).receiver(RecordingConnection(node))
    assert not session.opened


def test_an_address_over_its_limit_is_told_by_a_close(admission, node):
    acceptance = admission.admit(asking("token=seen"), NATIVE, values=())
    assert acceptance.receiver(RecordingConnection(node)) is not None
    second = RecordingConnection(node)
    assert acceptance.receiver(second) is None
    assert (second.code, second.reason) == (
        4104,
        "an address has at most 1 connections; close others, or come back when some have ended",
    )
    node.quota.release(second.address)
    assert acceptance.receiver(RecordingConnection(node)) is not None


async def test_a_session_knows_the_front_door_it_came_through(admission, node):
    headers = [(b"host", b"here"), (b"x-openline-proxy", b"nginx-1" * 100)]
    first = admission.admit(asking("token=seen", headers=headers), NATIVE, values=())
    seen = first.receiver(RecordingConnection(node)).proxy
    node.quota.release(RecordingConnection(node).address)
    later = await admission.verify(
        admission.admit(asking("token=bob", headers=headers), NATIVE, values=())
    )
    session = later.receiver(RecordingConnection(node))
    assert session.proxy is seen, "one string for all"
    assert session.proxy == ("nginx-1" * 100)[:253]
    node.quota.release(session.connection.address)
    unnamed = admission.admit(asking("token=seen"), NATIVE, values=())
    assert unnamed.receiver(RecordingConnection(node)).proxy == ""
