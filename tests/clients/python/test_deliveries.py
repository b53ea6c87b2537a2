"""Messages on their way: batches, what fails alone, what is tried again."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openline import calls, deliveries
from openline.calls import Answer
from openline.deliveries import MAX_BYTES, MAX_MESSAGES, Delivery
from openline.errors import OpenlineError
from openline.retries import Attempts, Policy
from openline.types import Draft, Published

pytestmark = pytest.mark.clients


def items(*data, channel="room:a"):
    return list(deliveries.checked(Draft(channel, one) for one in data))


def delivery(chunk, **policy):
    return Delivery(chunk, attempts=Attempts(Policy(**policy), started=0.0, random=lambda: 0.0))


def sent(call):
    """The messages of a call as `(key, data)`."""
    body = json.loads(call.body)
    return [(one["key"], one["data"]) for one in body.get("messages", [body])]


class Server:
    """Answers as the publisher would: `bad` data is refused, `wrong` data spoils its batch; keys are remembered."""

    def __init__(self, bad=(), wrong=(), limit=None):
        self.bad, self.wrong, self.limit = set(bad), set(wrong), limit
        self.stored = {}
        self.log = []

    def __call__(self, call):
        messages = sent(call)
        if self.wrong.intersection(data for _, data in messages) and "results" not in call.path:
            return problem(400, "bad_request")
        results = [self.store(key, data) for key, data in messages]
        if call.path != "/v1/messages":
            (result,) = results
            if result["status"] >= 300:
                return problem(result["status"], result["code"])
            return Answer(201, {}, json.dumps(result).encode())
        return Answer(200, {}, json.dumps({"results": results}).encode())

    def store(self, key, data):
        if data in self.bad:
            return {"channel": "room:a", "status": 422, "code": "invalid_data", "message": "bad"}
        if key in self.stored:
            return self.said(key, duplicate=True)
        if self.limit is not None and len(self.log) >= self.limit:
            return {"channel": "room:a", "status": 503, "code": "unavailable", "message": "full"}
        self.log.append(data)
        self.stored[key] = len(self.log)
        return self.said(key, duplicate=False)

    def said(self, key, *, duplicate):
        where = {"epoch": "e", "offset": self.stored[key]}
        return {
            "channel": "room:a",
            "status": 201,
            "duplicate": duplicate,
            "subscribers": 0,
            **where,
        }


def problem(status, code, **more):
    return Answer(status, {}, json.dumps({"detail": "why", "code": code, **more}).encode())


def run(running, server, now=0.0):
    """Carry it to its end; how many calls it took."""
    count = 0
    while call := running.call():
        count += 1
        assert count < 10_000
        now += running.answered(server(call), now)
    return count


# -------------------------------------------------------------------------------------------------------------- chunks


@given(st.lists(st.integers(0, 300_000) | st.just(b""), max_size=60))
def test_chunks_keep_the_order_and_fit_into_a_call(sizes):
    messages = items(*(size if size == b"" else "x" * size for size in sizes))
    chunks = list(deliveries.chunks(messages))
    assert [one for chunk in chunks for one in chunk] == messages
    for chunk in chunks:
        if len(chunk) > 1:
            assert not any(one.octets for one in chunk)
            assert len(calls.publish(chunk).body) <= MAX_BYTES + 64


def test_a_call_has_a_thousand_messages_at_most():
    chunks = list(deliveries.chunks(items(*range(2 * MAX_MESSAGES + 1))))
    assert [len(chunk) for chunk in chunks] == [MAX_MESSAGES, MAX_MESSAGES, 1]


def test_each_message_has_a_key_of_its_own():
    keys = {one.key for one in items(*range(1000))}
    assert len(keys) == 1000


# ------------------------------------------------------------------------------------------------------------ outcomes


def test_one_bad_message_fails_alone():
    server = Server(bad=[2])
    running = delivery(items(1, 2, 3))
    assert run(running, server) == 1
    assert [type(one) for one in running.outcomes] == [Published, OpenlineError, Published]
    assert server.log == [1, 3]


def test_a_draft_that_was_refused_here_keeps_its_place():
    chunk = list(deliveries.checked([Draft("room:a", 1), Draft("lobby", 2), Draft("room:a", 3)]))
    running = delivery(chunk)
    run(running, Server())
    assert [getattr(one, "code", "stored") for one in running.outcomes] == [
        "stored",
        "bad_request",
        "stored",
    ]


@given(
    st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))),
)
def test_a_message_that_spoils_its_batch_fails_alone_and_the_order_holds(case):
    count, wrong = case
    server = Server(wrong=wrong)
    running = delivery(items(*range(count)))
    run(running, server)
    assert [isinstance(one, OpenlineError) for one in running.outcomes] == [
        n in wrong for n in range(count)
    ]
    assert server.log == [n for n in range(count) if n not in wrong]
    assert running.given_up is None


@given(
    st.lists(st.sampled_from(["lost before", "lost after", "503", "429", "ok"]), max_size=3),
    st.integers(1, 8),
)
def test_whatever_is_lost_on_the_way_each_message_is_stored_once(faults, count):
    server, faults = Server(), list(faults)
    running = delivery(items(*range(count)))
    now = 0.0
    while call := running.call():
        fault = faults.pop(0) if faults else "ok"
        if fault != "lost before":
            answer = server(call)
        if fault == "ok":
            now += running.answered(answer, now)
        elif fault in ("503", "429"):
            now += running.answered(problem(int(fault), "unavailable", retry_after=0.5), now)
        else:
            error = OpenlineError("cut", code="timeout", temporary=True)
            now += running.failed(error, now)
    assert server.log == list(range(count))
    assert [one.offset for one in running.outcomes] == list(range(1, count + 1))


def test_what_the_store_could_not_take_is_tried_again_alone():
    server = Server(limit=2)
    running = delivery(items(1, 2, 3))
    call = running.call()
    wait = running.answered(server(call), 0.0)
    assert wait == pytest.approx(0.1)
    server.limit = None
    again = running.call()
    assert [data for _, data in sent(again)] == [3]
    running.answered(server(again), 0.2)
    assert running.call() is None
    assert server.log == [1, 2, 3]


def test_what_stays_away_is_the_outcome_after_all_tries():
    server = Server(limit=1)
    running = delivery(items(1, 2), attempts=3)
    assert run(running, server) == 3
    assert [getattr(one, "code", "stored") for one in running.outcomes] == ["stored", "unavailable"]


def test_a_caller_who_is_refused_is_given_up_at_once():
    running = delivery(items(1, 2))
    assert run(running, lambda _: problem(403, "forbidden")) == 1
    assert [one.code for one in running.outcomes] == ["forbidden"] * 2
    assert running.given_up.code == "forbidden"
    assert running.outcomes[0] is not running.outcomes[1]


def test_tries_of_an_unreachable_server_come_to_an_end():
    running = delivery(items(1), attempts=4)
    waits = []
    while running.call():
        waits.append(running.failed(OpenlineError("away", code="unavailable", temporary=True), 0.0))
    assert len(waits) == 4
    assert running.given_up is not None
