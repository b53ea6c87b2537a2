"""Positions: a place in a named history, from untrusted values and from text."""

from __future__ import annotations

import pytest

from services.kernel.domain import positions
from services.kernel.domain.codes import Code
from services.kernel.domain.positions import Position
from tests.support.refusals import refused


@pytest.mark.parametrize("position", [Position("a", 0), Position("Z9" * 16, 2**63 - 1)])
def test_a_position_reads_back_from_its_text(position):
    assert positions.parse(str(position)) == position
    assert positions.make(*position) == position


@pytest.mark.parametrize("epoch", [None, "", "a-b", "x" * 33, "a\n", 5, "é"])
def test_a_wrong_epoch_is_named(epoch):
    with refused(Code.BAD_REQUEST, "epoch is 1-32"):
        positions.make(epoch, 1)


@pytest.mark.parametrize("offset", [None, "1", 1.0, True, -1, 2**63])
def test_a_wrong_offset_is_named(offset):
    with refused(Code.BAD_REQUEST, "offset is an integer"):
        positions.make("a", offset)


@pytest.mark.parametrize(
    "text", ["", "a", "a:", "a:x", "a:-1", "a:01", "a:1 ", "a:1\n", "a:\u0661"]
)
def test_text_that_is_no_position_is_refused_with_an_example(text):
    with refused(Code.BAD_REQUEST, "epoch:offset"):
        positions.parse(text)


@pytest.mark.parametrize("text", [":1", "a b:1", "a:9999999999999999999"])
def test_text_with_a_wrong_part_is_refused(text):
    with refused(Code.BAD_REQUEST):
        positions.parse(text)
