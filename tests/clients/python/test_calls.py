"""What is sent, and what an answer means."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from openline import calls
from openline.calls import Answer
from openline.errors import InvalidData, OpenlineError, Unauthorized
from openline.types import Draft, Position, Published
from services.kernel.domain.codes import HTTP_STATUS, TEMPORARY, Code
from services.publisher.routes import bodies, reading

pytestmark = pytest.mark.clients

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.none() | st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=128)
TAGS = st.none() | st.dictionaries(
    st.text(min_size=1, max_size=64), st.text(max_size=256), max_size=16
)
DRAFTS = st.builds(
    Draft,
    st.from_regex(r"[a-z][a-z0-9_-]{0,31}:[A-Za-z0-9_.:@|=+-]{1,200}", fullmatch=True),
    VALUES,
    KEYS,
    TAGS,
    st.booleans(),
    st.none()
    | st.builds(
        Position, st.from_regex("[A-Za-z0-9]{1,32}", fullmatch=True), st.integers(0, 10**15)
    ),
    KEYS,
)


class Order(BaseModel):
    number: int


@dataclasses.dataclass
class Chat:
    text: str


class Colour(enum.Enum):
    RED = "red"


def answer(status, content=None, **headers):
    body = b"<html>" if content is None else json.dumps(content).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def item(channel="room:a", data=None, key="k", **more):
    return calls.item(Draft(channel, data, **more), key=key)


@given(DRAFTS)
def test_the_server_reads_a_publish_as_it_was_meant(draft):
    call = calls.publish([calls.item(draft, key="made")])
    body = reading.decode(call.body, reading.decoder(bodies.Publish))
    assert json.loads(bytes(body.data)) == draft.data
    assert body.key == (draft.key or "made")
    assert body.conflate_key == draft.conflate_key
    assert (body.tags or {}) == (draft.tags or {})
    assert body.ephemeral is draft.ephemeral
    assert (body.expect and (body.expect.epoch, body.expect.offset)) == draft.expect


@given(st.lists(DRAFTS, min_size=2, max_size=5))
def test_the_server_reads_a_batch_as_it_was_meant(drafts):
    call = calls.publish([calls.item(draft, key="made") for draft in drafts])
    assert call.path == "/v1/messages"
    read = reading.decode(call.body, reading.decoder(bodies.Batch)).messages
    assert [(one.channel, json.loads(bytes(one.data))) for one in read] == [
        (draft.channel, draft.data) for draft in drafts
    ]


def test_the_server_reads_a_broadcast_as_it_was_meant():
    call = calls.broadcast([item("room:a", {"n": 1}), item("room:b", {"n": 1})])
    body = reading.decode(call.body, reading.decoder(bodies.Broadcast))
    assert body.channels == ["room:a", "room:b"]
    assert (json.loads(bytes(body.data)), body.key) == ({"n": 1}, "k")


def test_the_size_of_a_message_is_that_in_a_batch():
    two = [item("room:a", "é"), item("room:b", [1, 2])]
    assert len(calls.publish(two).body) == sum(one.size for one in two) + len('{"messages":[,]}')


def test_bytes_go_alone_with_their_keys_and_ephemeral_in_the_query():
    call = calls.publish(
        [item("room:a|b", b"\x00\x01", ephemeral=True, key="k 1", conflate_key="é")]
    )
    query = "key=k+1&conflate_key=%C3%A9&ephemeral=true"
    assert call.path == f"/v1/channels/room:a|b/messages?{query}"
    assert (call.body, call.headers()["Content-Type"]) == (b"\x00\x01", "application/octet-stream")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Order(number=7), {"number": 7}),
        (Chat("hi"), {"text": "hi"}),
        ([Chat("hi"), Colour.RED], [{"text": "hi"}, "red"]),
        ({"order": Order(number=7)}, {"order": {"number": 7}}),
    ],
)
def test_models_and_dataclasses_become_json(value, plain):
    assert json.loads(calls.encode(value)) == plain


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "object is not JSON"),
        (float("nan"), "not JSON compliant"),
        ("\ud800", "surrogate"),
    ],
)
def test_what_json_cannot_hold_is_refused_here(value, said):
    with pytest.raises(InvalidData, match=said):
        calls.encode(value)


@pytest.mark.parametrize(
    ("draft", "said"),
    [
        ({"key": ""}, "a key is"),
        ({"key": "a\nb"}, "without control characters"),
        ({"tags": {"a" * 65: ""}}, "a tag has a name"),
        ({"tags": {"a": 1}}, "are strings"),
        ({"conflate_key": "a\n"}, "a conflate_key is 1 to 128"),
        ({"tags": {str(n): "" for n in range(17)}}, "at most 16 tags"),
        ({"channel": "lobby"}, "namespace:name"),
        ({"data": b"x", "tags": {"a": "b"}}, "bytes are published without tags"),
    ],
)
def test_a_draft_that_would_fail_is_refused_here(draft, said):
    with pytest.raises(OpenlineError, match=said):
        calls.item(Draft(**{"channel": "room:a", "data": 1, **draft}), key="made")


# ------------------------------------------------------------------------------------------------------------ answers


def test_results_stand_in_the_order_of_the_messages():
    found = calls.results(
        answer(
            200,
            {
                "results": [
                    {
                        "channel": "room:a",
                        "status": 201,
                        "epoch": "e",
                        "offset": 4,
                        "duplicate": True,
                        "subscribers": 2,
                    },
                    {"channel": "doc:b", "status": 403, "code": "forbidden", "message": "no"},
                    {
                        "channel": "room:a",
                        "status": 409,
                        "code": "conflict",
                        "message": "moved",
                        "position": {"epoch": "e", "offset": 9},
                    },
                ]
            },
        ),
        [item()] * 3,
    )
    assert found[0] == Published("e", 4, True, "room:a", 2)
    assert (found[1].code, found[1].temporary, str(found[1])) == (
        "forbidden",
        False,
        "no (forbidden)",
    )
    assert found[2].position == Position("e", 9)


@pytest.mark.parametrize("code", list(Code))
def test_a_refusal_is_temporary_when_the_protocol_says_so(code):
    status = HTTP_STATUS[code]
    problem = {"detail": "why", "code": code.value, "status": status}
    with pytest.raises(OpenlineError) as refused:
        calls.read(answer(status, problem))
    assert (refused.value.code, refused.value.message) == (code.value, "why")
    assert refused.value.temporary is (code in TEMPORARY)
    assert isinstance(refused.value, Unauthorized) is (status == 401)


def test_the_document_says_when_to_come_back_before_the_header():
    problem = {"detail": "slow", "code": "rate_limited", "retry_after": 0.25}
    assert calls.refusal(answer(429, problem, retry_after="1"), problem).retry_after == 0.25
    assert calls.refusal(answer(429, {}, retry_after="7"), {}).retry_after == 7
    assert (
        calls.refusal(answer(503, {}, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), {}).retry_after
        is None
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [(502, "unavailable"), (504, "unavailable"), (413, "too_large"), (500, "internal")],
)
def test_a_proxy_on_the_way_is_understood_by_its_status(status, code):
    with pytest.raises(OpenlineError) as refused:
        calls.read(answer(status))
    assert (refused.value.code, refused.value.temporary) == (code, status in (502, 504))
    assert "is there a proxy" in str(refused.value)


@pytest.mark.parametrize("strange", [answer(200), answer(200, []), Answer(204, {}, b"")])
def test_a_success_that_is_not_openlines_points_at_the_url(strange):
    with pytest.raises(OpenlineError, match="is the url that of its front door"):
        calls.read(strange)


def test_too_few_results_are_not_taken_for_an_answer():
    with pytest.raises(OpenlineError, match="not Openline's"):
        calls.results(answer(200, {"results": []}), [item()] * 2)


# -------------------------------------------------------------------------------------------------------- other calls


def test_a_history_is_read_with_bytes_as_bytes():
    call = calls.history("room:a", since=Position("e", 3), limit=10, reverse=True)
    assert call.path == "/v1/channels/room:a/messages?limit=10&since=e%3A3&reverse=true"
    page = calls.history_of(
        answer(
            200,
            {
                "messages": [
                    {
                        "data": "AAE=",
                        "encoding": "base64",
                        "offset": 4,
                        "ts": 1,
                        "from": "bob",
                        "conflate_key": "c",
                        "tags": {"a": "b"},
                    },
                    {"data": {"n": 1}, "offset": 5, "ts": 2, "key": "k"},
                ],
                "epoch": "e",
                "offset": 5,
                "more": False,
            },
        ),
        "room:a",
    )
    assert [m.conflate_key for m in page.messages] == ["c", None]
    assert [(m.data, m.offset, m.sender, m.key) for m in page.messages] == [
        (b"\x00\x01", 4, "bob", None),
        ({"n": 1}, 5, None, "k"),
    ]
    assert (page.position, page.more) == (Position("e", 5), False)


def test_a_notification_has_a_type_and_a_time_unless_they_are_given():
    draft = calls.notification("orders", {"title": "new"}, now=0)
    assert draft == Draft(
        "notify:orders",
        {"type": "notification", "timestamp": "1970-01-01T00:00:00.000Z", "title": "new"},
    )
    assert calls.notification("orders", {"type": "alarm"}, now=0).data["type"] == "alarm"


def test_disconnecting_takes_a_user_or_a_connection():
    call = calls.disconnect(user="bob|7", connection=None, code=4004, reason="bye")
    assert call.path == "/v1/users/bob|7/disconnect"
    assert json.loads(call.body) == {"code": 4004, "reason": "bye"}
    assert (
        calls.disconnect(user=None, connection="c1", code=4004, reason="").path
        == "/v1/connections/c1/disconnect"
    )
    for wrong in ({"user": None, "connection": None}, {"user": "a", "connection": "b"}):
        with pytest.raises(OpenlineError, match="either user= or connection="):
            calls.disconnect(**wrong, code=4004, reason="")


def test_a_gateway_is_drained_by_its_name():
    assert (calls.drain("a/b c").method, calls.drain("a/b c").path) == (
        "POST",
        "/v1/nodes/a%2Fb%20c/drain",
    )
    undone = calls.undo_drain("gateway-1")
    assert (undone.method, undone.path) == ("DELETE", "/v1/nodes/gateway-1/drain")
    assert calls.connections_of(answer(202, {"node": "gateway-1", "connections": 7})) == 7


def test_a_login_is_encoded_as_in_a_form_before_it_is_joined():
    sent = calls.grant(("shop:1", "p%ss é")).headers()["Authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"shop%3A1:p%25ss%20%C3%A9"


def test_a_refused_login_is_nobodys_message():
    with pytest.raises(Unauthorized, match="wrong secret"):
        calls.granted(answer(401, {"error": "invalid_client", "error_description": "wrong secret"}))
    with pytest.raises(OpenlineError) as refused:
        calls.granted(answer(400, {"error": "invalid_scope", "error_description": "no such scope"}))
    assert refused.value.code == "bad_configuration"


def test_no_secret_shows_in_a_call():
    shown = [
        repr(calls.grant(("shop", "hunter2"))),
        repr(calls.ticket("hunter2")),
        repr(calls.publish([item(data="hunter2")])),
    ]
    assert not any("hunter2" in text for text in shown)


def test_a_ticket_is_not_asked_for_what_no_header_can_carry():
    with pytest.raises(OpenlineError, match="end of the line") as refused:
        calls.ticket("hunter2\n")
    assert "hunter2" not in str(refused.value)
