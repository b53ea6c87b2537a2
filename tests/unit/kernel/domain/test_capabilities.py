"""Capabilities: what the claim `channels` grants, and how a wrong claim is named."""

from __future__ import annotations

import pytest

from services.kernel.domain import capabilities
from services.kernel.domain.capabilities import Action
from services.kernel.domain.codes import Code
from tests.support.refusals import refused


def test_an_exact_pattern_grants_its_actions_on_that_channel_alone():
    granted = capabilities.parse({"room:a": ["subscribe"]})
    assert granted.allows("room:a", Action.SUBSCRIBE)
    assert not granted.allows("room:a", Action.PUBLISH)
    assert not granted.allows("room:ab", Action.SUBSCRIBE)


def test_a_star_matches_whatever_follows_its_prefix():
    granted = capabilities.parse({"room:a*": ["publish"], "room:b*": ["history", "presence"]})
    assert granted.allows("room:a", Action.PUBLISH)
    assert granted.allows("room:abc", Action.PUBLISH)
    assert granted.allows("room:b1", Action.PRESENCE)
    assert not granted.allows("room:b1", Action.PUBLISH)
    assert not granted.allows("room:", Action.PUBLISH)


def test_several_patterns_over_one_channel_add_up():
    granted = capabilities.parse({"room:a": ["subscribe"], "*": ["history"]})
    assert granted.allows("room:a", Action.SUBSCRIBE)
    assert granted.allows("room:a", Action.HISTORY)


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [
        ("room:a", True),
        ("room:team-*", True),
        ("room:team-1*", True),
        ("room:team-1", True),
        ("room:team*", False),
        ("room:*", False),
        ("room:a*", False),
        ("*", False),
    ],
)
def test_a_pattern_is_covered_by_one_that_is_at_least_as_wide(pattern, covered):
    granted = capabilities.parse({"room:a": ["subscribe"], "room:team-*": ["subscribe"]})
    assert granted.covers(pattern, Action.SUBSCRIBE) is covered
    assert not granted.covers(pattern, Action.PUBLISH)


def test_a_pattern_is_no_regular_expression():
    granted = capabilities.parse({"room:(a+)+$": ["subscribe"]})
    assert not granted.allows("room:aaaa", Action.SUBSCRIBE)


def test_an_empty_claim_grants_nothing():
    assert not capabilities.parse({}).allows("room:a", Action.SUBSCRIBE)


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (None, "must be an object"),
        (["room:*"], "must be an object"),
        ({f"room:{n}": [] for n in range(101)}, "more than 100"),
        ({"": []}, "a channel or a prefix"),
        ({"x" * 235: []}, "a channel or a prefix"),
        ({5: []}, "a channel or a prefix"),
        ({"room:*x": []}, "last character"),
        ({"room:**": []}, "last character"),
        ({"room:x": "subscribe"}, "list actions of subscribe"),
        ({"room:x": ["fly"]}, "unknown action; known: subscribe"),
        ({"room:x": [["subscribe"]]}, "unknown action"),
    ],
)
def test_a_wrong_claim_is_refused_naming_what_is_wrong(claim, reason):
    with refused(Code.BAD_REQUEST, reason):
        capabilities.parse(claim)


def test_a_hundred_patterns_are_allowed():
    assert capabilities.parse({f"room:{n}": ["publish"] for n in range(100)})
