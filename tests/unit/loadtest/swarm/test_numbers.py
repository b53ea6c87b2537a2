"""Numbers of command lines: what is above 0, and in one line why something is not taken."""

from __future__ import annotations

from argparse import ArgumentTypeError

import pytest

from loadtest.swarm.numbers import positive, whole


def test_numbers_above_0_are_taken() -> None:
    assert (whole("1"), whole("20000"), positive("0.1"), positive("3")) == (1, 20_000, 0.1, 3.0)


@pytest.mark.parametrize("text", ["0", "-1"])
@pytest.mark.parametrize("parse", [whole, positive])
def test_others_are_not_above_0(parse, text) -> None:
    with pytest.raises(ArgumentTypeError, match=f"^{text} is not above 0$"):
        parse(text)


@pytest.mark.parametrize("text", ["", "many", "1.5", "1e3"])
def test_a_whole_number_has_no_fraction(text) -> None:
    with pytest.raises(ArgumentTypeError, match=f"'{text}' is no whole number"):
        whole(text)


@pytest.mark.parametrize("text", ["nan", "inf"])
def test_what_has_no_end_is_no_length(text) -> None:
    with pytest.raises(ArgumentTypeError, match="is not above 0"):
        positive(text)


def test_words_are_no_numbers() -> None:
    with pytest.raises(ArgumentTypeError, match="'many' is not a number"):
        positive("many")
