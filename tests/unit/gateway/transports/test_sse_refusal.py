"""A refused stream: an event to an EventSource, which any other answer would end for good, and a status to the rest."""

from __future__ import annotations

import json
import re

import pytest
from starlette.requests import Request

from services.gateway.transports import sse_refusal
from services.gateway.transports.admission import PROXY
from services.kernel.domain.codes import Code, OpenlineError

EVENTS = {"accept": "text/event-stream"}
CORS = {"access-control-allow-origin": "https://app.example"}

SOON = OpenlineError(Code.RATE_LIMITED, "too many", retry_after=0.02)
NOW = OpenlineError(Code.RATE_LIMITED, "too many", retry_after=10)
AWAY = OpenlineError(Code.UNAVAILABLE, "away")
TOKEN = OpenlineError(Code.UNAUTHORIZED, "the token has expired", expired=True)
NEVER = OpenlineError(Code.UNKNOWN_NAMESPACE, "no namespace nowhere")


def refused(error, method="GET", **headers):
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "method": method, "headers": raw})
    return sse_refusal.response(error, request, CORS)


def block(answer):
    """The fields of the one event in an answer."""
    body = bytes(answer.body).decode()
    assert body.endswith("\n\n")
    assert body.count("\n\n") == 1
    return dict(line.split(": ", 1) for line in body.strip().split("\n"))


@pytest.mark.parametrize("accept", ["text/event-stream", "a/b, TEXT/Event-Stream; q=0.9"])
def test_who_takes_events_is_told_by_one_in_a_stream_that_ends(accept):
    answer = refused(NOW, accept=accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["access-control-allow-origin"] == CORS["access-control-allow-origin"]
    fields = block(answer)
    assert set(fields) == {"retry", "event", "data"}
    assert fields["event"] == "problem"
    assert json.loads(fields["data"]) == {
        "type": "problem",
        "code": "rate_limited",
        "message": "too many",
        "temporary": True,
        "retry_after": 10,
    }


@pytest.mark.parametrize("accept", ["*/*", "text/*", "application/json", "text/event-streams"])
def test_others_get_a_problem_document(accept):
    answer = refused(NOW, accept=accept)
    assert (answer.status_code, answer.media_type) == (429, "application/problem+json")
    assert refused(NOW).status_code == 429
    assert refused(NOW, method="HEAD", **EVENTS).status_code == 429


@pytest.mark.parametrize(
    ("error", "least"), [(NOW, 10), (SOON, 1), (AWAY, 1), (TOKEN, 30), (NEVER, 1)]
)
def test_those_who_are_refused_together_come_back_one_by_one(error, least):
    waits = {int(block(refused(error, **EVENTS))["retry"]) for _ in range(50)}
    assert len(waits) > 25
    assert all(1000 * least <= wait <= 2000 * least for wait in waits)


def test_what_another_gateway_may_serve_keeps_its_status_before_the_front_door():
    answer = refused(AWAY, **EVENTS, **{PROXY: "front"})
    assert answer.status_code == 503
    assert refused(AWAY, **EVENTS).status_code == 200


@pytest.mark.parametrize("error", [NOW, AWAY, TOKEN])
def test_what_time_or_a_new_token_mends_never_ends_an_event_source(error):
    told = block(refused(error, **EVENTS))
    assert "id" not in told, "it would come back without its cursor"
    assert refused(error, **EVENTS, last_event_id=sse_refusal.FINAL).status_code == 200


def test_what_nothing_mends_is_told_once_and_then_ends_it():
    told = block(refused(NEVER, **EVENTS))
    assert re.search("no namespace nowhere", told["data"])
    again = refused(NEVER, **EVENTS, last_event_id=told["id"])
    assert (again.status_code, again.media_type) == (404, "application/problem+json")
