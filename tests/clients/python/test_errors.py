"""What is raised says what was wrong, and travels between processes."""

from __future__ import annotations

import copy
import pickle

import pytest

from openline import ContinuityLost, InvalidData, OpenlineError, Position, Unauthorized

pytestmark = pytest.mark.clients

ERRORS = [
    OpenlineError("no", code="conflict", temporary=True, retry_after=2, position=Position("e", 3)),
    Unauthorized(),
    ContinuityLost("room:a", reason="gap", began=3, wait=1.5),
    InvalidData("at text: expected str, got int"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_it_arrives_whole(error, way):
    arrived = way(error)
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))


def test_the_text_ends_with_the_code():
    assert str(ERRORS[0]) == "no (conflict)"


def test_whoever_lost_continuity_knows_what_to_do():
    assert "fetch its state again" in str(ERRORS[2])


@pytest.mark.parametrize(
    ("text", "position"), [("e1:0", Position("e1", 0)), ("ab:41", Position("ab", 41))]
)
def test_a_position_is_its_text(text, position):
    assert Position.parse(text) == position
    assert str(position) == text


@pytest.mark.parametrize("text", ["", "e", ":1", "e:", "e:-1", "e:x", "e e:1", "e:1:2"])
def test_what_is_no_position_says_what_one_is(text):
    with pytest.raises(ValueError, match="epoch:offset"):
        Position.parse(text)
