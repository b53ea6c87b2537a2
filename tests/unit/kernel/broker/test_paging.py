"""Cursors: what was wrapped comes back, all else is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.broker.paging import PATTERN, unwrap, wrap
from services.kernel.domain.codes import Code, OpenlineError


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_wrapped_name_comes_back(name):
    assert unwrap(wrap(name)) == name


def test_no_cursor_begins_at_the_start():
    assert unwrap(None) == unwrap("") == ""


@given(st.text())
def test_any_text_is_unwrapped_or_refused(text):
    try:
        name = unwrap(text)
    except OpenlineError as error:
        name = error.code
    assert isinstance(name, str)
    assert name == Code.BAD_REQUEST or unwrap(wrap(name)) == name


@pytest.mark.parametrize("text", ["room:a", "61", "c6", "c6 1", "c6A", "C61", "c61\n", "cff"])
def test_foreign_text_is_refused(text):
    with pytest.raises(OpenlineError):
        unwrap(text)


@given(st.from_regex(PATTERN, fullmatch=True))
def test_all_that_the_documented_pattern_allows_is_a_cursor(text):
    assert wrap(unwrap(text)) == (text or "c")


@given(st.text(st.characters(codec="ascii")))
def test_the_cursor_of_a_name_in_ascii_is_documented(name):
    assert re.fullmatch(PATTERN, wrap(name))
