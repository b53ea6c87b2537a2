"""The depth of JSON text is told from its bytes, complete or not."""

from __future__ import annotations

import pytest

from services.kernel.domain import nesting


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b"", 0),
        (b"5", 0),
        (b"[]", 1),
        (b'{"a":[1,{"b":[]}]}', 4),
        (b"[[],[],[[]]]", 3),
        (b"[" * 60_000, 60_000),
        (b"[" * 100_000, 65_536),
        (b'{"a":' * 70, 70),
        (b'["[[[", "\\"[[", "\\\\", []]', 2),
        (b'["[[[[', 1),
        (b"]]][", 0),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_depth(text, depth):
    assert nesting.depth(text) == depth
