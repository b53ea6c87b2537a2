"""Judging what Sentinels answer."""

from __future__ import annotations

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.sentinel_answers import (
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    Answer,
    choose,
    pause,
    read,
    taken_for_masters,
    weaknesses,
)
from services.kernel.redis.store_url import Address

A, B = Address("a", 1), Address("b", 2)
FIELDS = [
    *(b"ip", b"10.0.0.9", b"config-epoch", b"7", b"num-other-sentinels", b"2"),
    *(b"quorum", b"2", b"down-after-milliseconds", b"5000"),
]


def test_the_address_counts_that_follows_a_promotion_first():
    assert read([b"10.0.0.1", b"6379"], FIELDS, name="main") == Answer(
        Address("10.0.0.1", 6379), epoch=7, sentinels=3, quorum=2, down_after=5000
    )


@pytest.mark.parametrize(
    ("address", "master", "said"),
    [
        (None, FIELDS, "no master named 'main'"),
        (None, ResponseError("ERR No such master with that name"), "no master named 'main'"),
        (ResponseError("ERR unknown command 'SENTINEL'"), FIELDS, "no Sentinel"),
    ],
)
def test_what_can_never_work_names_the_fix(address, master, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        read(address, master, name="main")
    assert "OPENLINE_REDIS_URL" in str(caught.value)


def test_another_refusal_is_raised_as_it_came():
    with pytest.raises(NoPermissionError):
        read([b"h", b"1"], NoPermissionError("NOPERM"), name="main")


@pytest.mark.parametrize(
    ("known", "answers", "chosen"),
    [
        (None, [], None),
        (Answer(A, 3), [], Answer(A, 3)),
        (None, [Answer(A, 3), Answer(B, 4), Answer(A, 3)], Answer(B, 4)),
        (Answer(A, 3), [Answer(A, 3), Answer(B, 4)], Answer(B, 4)),
        # One that was cut off with the former master is not believed, nor is half of them.
        (Answer(B, 4), [Answer(A, 3)], Answer(B, 4)),
        # All were set up anew: they count from the beginning.
        (Answer(B, 4), [Answer(A, 0), Answer(A, 0)], Answer(A, 0)),
        # Of one epoch there is one master: the first that was heard stays, unless nobody names it any more.
        (Answer(B, 4), [Answer(A, 4), Answer(B, 4)], Answer(B, 4)),
        (Answer(B, 4), [Answer(A, 4), Answer(A, 4)], Answer(A, 4)),
    ],
)
def test_the_newest_configuration_counts(known, answers, chosen):
    assert choose(known, answers, of=3) == chosen


def test_questions_in_doubt_grow_rarer_and_are_spread():
    assert pause(0, 0.0) == pause(0, 1.0) == SHORTEST_PAUSE
    assert pause(3, 1.0) == 8 * SHORTEST_PAUSE
    assert pause(3, 0.0) == 4 * SHORTEST_PAUSE
    assert pause(10_000, 1.0) == LONGEST_PAUSE


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        (Answer(A, 1), []),
        (Answer(A, 1, sentinels=5, quorum=3), []),
        (Answer(A, 1, sentinels=2), ["2 Sentinels"]),
        (Answer(A, 1, quorum=1), ["quorum of 1"]),
        (Answer(A, 1, quorum=4), ["quorum of 4"]),
        (Answer(A, 1, down_after=500), ["500 ms"]),
        (Answer(A, 1, sentinels=1, down_after=500), ["1 Sentinels", "500 ms"]),
    ],
)
def test_weak_settings_are_named_with_what_would_do(answer, problems):
    found = weaknesses(answer, named=3)
    assert len(found) == len(problems)
    for weakness, problem in zip(found, problems, strict=True):
        assert problem in weakness.problem
        assert weakness.fix


@pytest.mark.parametrize(
    ("named", "sentinels", "warned"), [(1, 3, True), (2, 2, False), (2, 5, True), (3, 5, False)]
)
def test_too_few_sentinels_in_the_url_are_told_of(named, sentinels, warned):
    answer = Answer(A, 1, sentinels=sentinels, quorum=sentinels // 2 + 1)
    problems = [weakness.problem for weakness in weaknesses(answer, named=named)]
    assert any(f"{named} of {sentinels} Sentinels" in problem for problem in problems) is warned


def replica(host, flags, role):
    fields = {"ip": host, "port": "6379", "flags": flags, "role-reported": role}
    return [part.encode() for pair in fields.items() for part in pair]


def test_only_a_replica_that_can_be_reached_is_doubted_for_saying_that_it_is_a_master():
    replies = [
        replica("a", "slave", "slave"),
        replica("b", "slave", "master"),
        replica("c", "s_down,slave,disconnected", "master"),
    ]
    assert taken_for_masters(replies) == [Address("b", 6379)]


def test_a_sentinel_that_does_not_tell_doubts_nobody():
    assert taken_for_masters(NoPermissionError("sentinel|replicas")) == []
