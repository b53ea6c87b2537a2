"""Each fault that is planted in a history is found, with client, channel and offset; what is right is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loadtest.chaos.checker import Finding, Verdict, check
from loadtest.chaos.histories import read

ROOM = "room:a"
Client = dict[str, Any]


def client(name: str, entries: list[Any], **fields: Any) -> Client:
    """A client's report, of one channel."""
    return {
        "name": name,
        "channels": {ROOM: entries},
        "sent": [],
        "refused": [],
        "waiting": {},
        **fields,
    }


def got(*offsets: int) -> list[list[Any]]:
    return [["got", offset, f"m{offset}"] for offset in offsets]


def sent(*offsets: int, epoch: str = "e", echo: bool = True) -> list[list[Any]]:
    return [[ROOM, f"m{offset}", epoch, offset, echo] for offset in offsets]


START = ["start", "e", 0]


def healthy() -> list[Client]:
    """Two languages, a publisher that hears itself, one message that its publisher is not to hear."""
    return [
        client("js-0", [START, *got(1, 2, 3, 4)], sent=sent(1, 2, 4)),
        client("python-0", [START, *got(1, 2, 4)], sent=sent(3, echo=False)),
    ]


def judged(clients: list[Client]) -> Verdict:
    return check(read(clients))


def findings(clients: list[Client]) -> list[tuple[str, str, str, int | None]]:
    return [(f.kind, f.client, f.channel, f.offset) for f in judged(clients).findings]


def test_what_is_right_has_no_findings() -> None:
    verdict = judged(healthy())
    assert verdict == Verdict(delivered=7, acked=4)
    assert not verdict.flagged


def drop(clients: list[Client]) -> None:
    del clients[0]["channels"][ROOM][2]


def twice(clients: list[Client]) -> None:
    clients[0]["channels"][ROOM].insert(4, ["got", 3, "m3"])


def stored_twice(clients: list[Client]) -> None:
    for one in clients:
        one["channels"][ROOM].append(["got", 5, "m2"])


def swap(clients: list[Client]) -> None:
    entries = clients[0]["channels"][ROOM]
    entries[2], entries[3] = entries[3], entries[2]


def other_content(clients: list[Client]) -> None:
    clients[0]["channels"][ROOM][2] = ["got", 2, "another"]


def acked_elsewhere(clients: list[Client]) -> None:
    clients[0]["sent"].append([ROOM, "lost", "e", 2, True])


def heard_own(clients: list[Client]) -> None:
    clients[1]["channels"][ROOM].insert(3, ["got", 3, "m3"])


def gap(clients: list[Client]) -> None:
    clients[0]["channels"][ROOM][2:3] = [["lost", "e", 2, 2, "gap"]]


def early_end(clients: list[Client]) -> None:
    clients.append(client("python-1", [START, *got(1, 2, 3)]))


def ack_that_is_nowhere(clients: list[Client]) -> None:
    clients[0]["sent"] += sent(5)


def refusal(clients: list[Client]) -> None:
    clients[0]["refused"].append([ROOM, "m9", "expired"])


def no_answer(clients: list[Client]) -> None:
    clients[0]["waiting"] = {"m9": [ROOM, 12345]}


def failed_channel(clients: list[Client]) -> None:
    clients[0]["channels"][ROOM].append(["failed", "forbidden"])


def before_the_start(clients: list[Client]) -> None:
    clients[0]["channels"][ROOM].insert(0, ["got", 0, "m0"])


def loss_before_the_start(clients: list[Client]) -> None:
    clients[0]["channels"][ROOM].insert(0, ["lost", "e", 0, 0, "reset"])


@pytest.mark.parametrize(
    ("plant", "kind", "who", "offset"),
    [
        (drop, "missed", "js-0", 2),
        (twice, "doubled", "js-0", 3),
        (stored_twice, "doubled", "js-0", 5),
        (swap, "missed", "js-0", 2),
        (swap, "reordered", "js-0", 2),
        (other_content, "foreign", "js-0", 2),
        (acked_elsewhere, "foreign", "js-0", 2),
        (heard_own, "echoed", "python-0", 3),
        (gap, "missed", "js-0", 2),
        (early_end, "behind", "python-1", 3),
        (ack_that_is_nowhere, "nowhere", "js-0", 5),
        (failed_channel, "failed", "js-0", None),
        (before_the_start, "reordered", "js-0", 0),
        (loss_before_the_start, "reordered", "js-0", 0),
    ],
)
def test_a_planted_fault_is_found_with_its_place(
    plant: Callable[[list[Client]], None], kind: str, who: str, offset: int | None
) -> None:
    clients = healthy()
    plant(clients)
    assert (kind, who, ROOM, offset) in findings(clients)


@pytest.mark.parametrize(("plant", "kind"), [(refusal, "refused"), (no_answer, "unsettled")])
def test_a_publish_that_fails_or_is_never_answered_is_found(
    plant: Callable[[list[Client]], None], kind: str
) -> None:
    clients = healthy()
    plant(clients)
    (found,) = judged(clients).findings
    assert (found.kind, found.client) == (kind, "js-0")


def test_a_history_in_which_nothing_came_is_a_failure() -> None:
    assert findings([client("js-0", [START])]) == [("idle", "js-0", ROOM, None)]
    assert findings([client("js-0", [])]) == [("behind", "js-0", ROOM, None)]


def test_a_loss_that_was_told_is_counted_and_is_no_fault() -> None:
    """The store forgot 3 and 4 of epoch e, which ended; both are acknowledged and lost, 3 is published anew in f."""
    lost = ["lost", "f", 2, 2, "the server lost data"]
    clients = [
        client("js-0", [START, *got(1, 2, 3, 4), lost, ["got", 3, "m3"]], sent=sent(1, 2, 4)),
        client("python-0", [START, *got(1, 2), lost, ["got", 3, "m3"]], sent=sent(3, epoch="f")),
    ]
    verdict = judged(clients)
    assert verdict.findings == []
    assert verdict.flagged == {"the server lost data": 2}
    assert verdict.acked_unheard == 1
    assert verdict.count("doubled") == 0


def test_a_loss_within_an_epoch_covers_what_lies_between_and_no_more() -> None:
    lost = ["lost", "e", 3, 3, "too long away"]
    clients = [
        client("js-0", [START, *got(1), lost, *got(4)], sent=sent(1, 2, 3, 4)),
        client("python-0", [START, *got(1, 2), ["lost", "e", 3, 3, "slow"], *got(4)]),
    ]
    verdict = judged(clients)
    assert verdict.findings == []
    assert verdict.acked_unheard == 1


def test_an_ack_of_an_ended_epoch_that_some_were_told_nothing_of_is_nowhere() -> None:
    clients = [
        client("js-0", [START, *got(1), ["lost", "e", 2, 2, "too long away"], *got(3)]),
        client("python-0", [["start", "e", 2], *got(3)], sent=sent(2)),
    ]
    assert findings(clients) == [("nowhere", "python-0", ROOM, 2)]


def test_a_finding_is_told_in_words() -> None:
    clients = healthy()
    drop(clients)
    assert judged(clients).findings == [
        Finding("missed", "js-0", ROOM, 2, "is missing before m3 at 3")
    ]
