"""Which partitions live together once one has moved."""

from __future__ import annotations

import pytest

from services.kernel.broker.redis.partitions import together


@pytest.mark.parametrize(
    ("servers", "moved", "urls", "found"),
    [
        ([(0, 1), (2,)], 1, "abb", [(0,), (1, 2)]),
        ([(0, 1), (2,)], 1, "acb", [(0,), (2,), (1,)]),
        ([(0, 1), (2,)], 2, "aaa", [(0, 1, 2)]),
        ([(0, 1), (2,)], 2, "aac", [(0, 1), (2,)]),
    ],
)
def test_a_partition_joins_those_at_its_new_server_or_lives_alone(servers, moved, urls, found):
    assert together(servers, moved, dict(enumerate(urls))) == found
