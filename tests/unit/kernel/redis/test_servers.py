"""The file that says which server holds which partitions is read wholly or refused with what to write."""

from __future__ import annotations

import re

import pytest

from services.kernel.redis.servers import Server, moving, read, single, spelled

TWO = """
[[servers]]
url = "redis://b/0"
partitions = "2,3-4"
[[servers]]
url = "redis+sentinel://h1,h2/NAME"
partitions = " 0 - 1 "
"""


def test_servers_come_in_the_order_of_their_partitions():
    assert read(TWO, 5) == (
        Server("redis+sentinel://h1,h2/NAME", (0, 1)),
        Server("redis://b/0", (2, 3, 4)),
    )


def test_one_server_has_all_partitions():
    assert single("redis://a", 3) == (Server("redis://a", (0, 1, 2)),)


def row(partitions: str, url: str = "redis://:pw@a") -> str:
    return f'[[servers]]\nurl = "{url}"\npartitions = "{partitions}"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[servers]", "is no TOML"),
        ("", "missing required field `servers`"),
        ("servers = []", "length >= 1"),
        ("[[servers]]\nurl = 'a'", "must hold [[servers]] tables, each with url"),
        (row("0-1") + "more = 1", "unknown field `more`"),
        ("other = 1\n" + row("0-1"), "unknown field `other`"),
        ('[[servers]]\nurl = "redis://a"\npartitions = 0', "Expected `str`, got `int`"),
        (row("0") + row("1-"), 'server 2: partitions = "1-" must be numbers'),
        (row("0-1234567"), "must be numbers"),
        (row("1-0"), 'server 1: partitions = "1-0" names none'),
        (row("0-1") + row("1"), "gives partition 1 to two servers"),
        (row("0,3"), "gives partitions 1-2 to no server: name 0 to 3"),
        (row("0-5"), "names partitions 4-5, but OPENLINE_PARTITIONS is 4"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_write(text, said):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        read(text, 4)
    assert "pw" not in str(caught.value)


def test_each_url_is_checked():
    def check(url):
        raise ValueError("is no URL")

    with pytest.raises(ValueError, match=r"^server 1: is no URL$"):
        read(row("0"), 1, check=check)


def test_partitions_are_spelled_as_ranges():
    assert spelled([3]) == "partition 3"
    assert spelled([7, 0, 1, 2]) == "partitions 0-2,7"


def test_the_one_partition_that_moves_is_found():
    before = (Server("redis://a", (0, 1)), Server("redis://b", (2,)))
    assert moving(before, (Server("redis://a", (0,)), Server("redis://b", (1, 2)))) == 1
    with pytest.raises(ValueError, match="gives every partition to the server that it has"):
        moving(before, before[::-1])
    with pytest.raises(ValueError, match="moves partitions 0-1: move one after the other"):
        moving(before, (Server("redis://b", (0, 1, 2)),))
