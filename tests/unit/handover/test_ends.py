"""What may be moved, judged by what both servers say."""

from __future__ import annotations

import pytest

from services.handover.ends import Ends, check_ends, check_neighbours
from services.handover.masters import RefusedError
from services.kernel.broker.redis.homes import Home

HOME = {"fleet": "f", "of": "4"}
MOVED = HOME | {"state": "moved", "move": "m"}
ARRIVING = HOME | {"state": "arriving", "move": "m"}


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (HOME, {}),
        (HOME, ARRIVING),  # a former run has died before the switch
        (HOME, MOVED),  # it lived there before
        (MOVED, ARRIVING),  # a former run has died after it
        (MOVED, HOME),
    ],
)
def test_a_move_begins_or_goes_on(source, target):
    check_ends(Ends(source, target), number=3, of=4)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ({}, {}, "does not live at its old server: give the map as it is now by --from"),
        ({}, HOME, "does not live at its old server"),
        (ARRIVING, {}, "is being moved to its old server: finish that move first"),
        (HOME | {"of": "8"}, {}, "is one of 8: set OPENLINE_PARTITIONS"),
        (HOME, HOME, "lives at both servers, or both are one"),
        (MOVED, {}, "was moved from its old server to another one than this"),
        (MOVED, ARRIVING | {"move": "n"}, "was moved from its old server to another one"),
        (MOVED, MOVED, "was moved from its old server to another one"),
    ],
)
def test_what_cannot_be_moved_or_finished_is_refused(source, target, said):
    with pytest.raises(RefusedError, match=said):
        check_ends(Ends(source, target), number=3, of=4)


def test_a_server_of_another_fleet_is_refused():
    check_neighbours({5: Home("f", 8)}, "f")
    with pytest.raises(RefusedError, match="partition 5 of another fleet"):
        check_neighbours({5: Home("g", 8)}, "f")
