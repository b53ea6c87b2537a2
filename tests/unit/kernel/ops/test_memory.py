"""The memory that a container leaves a process."""

from __future__ import annotations

import pytest

from services.kernel.ops import memory


@pytest.mark.parametrize(
    ("text", "ceiling"),
    [("536870912\n", 536_870_912), ("max\n", None), ("9223372036854771712\n", None), (None, None)],
)
def test_a_bound_of_the_container(tmp_path, text, ceiling):
    path = tmp_path / "memory.max"
    if text is not None:
        path.write_text(text)
    assert memory.ceiling([tmp_path / "nowhere", path]) == ceiling


def test_this_process_may_have_some_memory():
    assert memory.ceiling() is None or memory.ceiling() > 0
