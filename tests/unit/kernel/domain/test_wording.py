"""Sentences that are cut."""

from __future__ import annotations

import pytest

from services.kernel.domain.wording import cut


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("as it is", 8, "as it is"),
        ("one two three", 12, "one two…"),
        ("one, two, three", 10, "one…"),
        ("müüürsam", 8, "müü…"),
        ("\ud83d", 5, "?"),
    ],
)
def test_cut_between_words_or_characters_and_marked(text, most, kept):
    assert cut(text, most) == kept
    assert len(kept.encode()) <= most
