"""Each fault that is planted in a history is found, with client, channel and offset; what is right is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loadtest.chaos.checker import Finding, Verdict, check, check_costs, needless
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


def at_rest(*ids: str, present: list[str], shown: list[str]) -> dict[str, Any]:
    """What the store has, who is there, and who is shown to be there."""
    return {
        "logs": {ROOM: ["e", [[offset, name] for offset, name in enumerate(ids, 1)]]},
        "members": {ROOM: {"presence": shown}},
        "present": {ROOM: present},
    }


def test_at_rest_the_log_and_presence_must_agree() -> None:
    both = ["js-0", "python-0"]
    rest = at_rest("m1", "m2", "m3", "m4", present=both, shown=both)
    assert check(read(healthy(), rest)).findings == []


def test_who_has_left_and_is_shown_and_who_is_there_and_not_is_found() -> None:
    rest = at_rest("m1", "m2", "m3", "m4", present=["a", "b", "c"], shown=["a", "a", "b", "gone"])
    found = check(read(healthy(), rest)).findings
    assert [(f.kind, f.client, f.channel) for f in found] == [
        ("stays", "presence", ROOM),
        ("absent", "presence", ROOM),
        ("stays", "presence", ROOM),
    ]
    assert [f.text.split()[0] for f in found] == ["gone", "c", "a"]


def test_what_the_log_has_in_the_place_of_a_message_is_found() -> None:
    rest = at_rest("m1", "another", "m3", "m4", present=[], shown=[])
    kinds = [(f.kind, f.client, f.offset) for f in check(read(healthy(), rest)).findings]
    assert ("foreign", "python-0", 2) in kinds
    assert ("nowhere", "js-0", 2) in kinds


def test_who_has_not_what_the_log_ends_with_is_behind() -> None:
    rest = at_rest("m1", "m2", "m3", "m4", "m5", present=[], shown=[])
    found = check(read(healthy(), rest)).findings
    assert {(f.kind, f.client, f.offset) for f in found} == {
        ("behind", "js-0", 4),
        ("behind", "python-0", 4),
    }


def test_a_recovery_with_a_hole_is_found_with_its_place() -> None:
    clients = healthy()
    clients[0]["channels"][ROOM][2] = ["recovered"]
    assert findings(clients) == [
        ("missed", "js-0", ROOM, 2),
        ("unrecovered", "js-0", ROOM, 2),
    ]
    clients = healthy()
    clients[1]["channels"][ROOM][3:] = [["recovered"]]
    assert ("unrecovered", "python-0", ROOM, 3) in findings(clients)
    clients = healthy()
    clients[0]["channels"][ROOM].insert(3, ["recovered"])
    assert judged(clients) == Verdict(delivered=7, acked=4, recovered=1)


def test_what_is_lost_or_refused_without_a_fault_near_is_found() -> None:
    lost = ["lost", "f", 2, 1, "reset", 5000]
    clients = [
        client(
            "js-0",
            [START, *got(1), lost],
            sent=[[ROOM, "m1", "e", 1, True, 900, 950], [ROOM, "m2", "e", 2, True, 3000, 3100]],
            denied=[[ROOM, "m9", "unavailable", 4000]],
        )
    ]
    record = read(clients)
    verdict = check(record)
    assert [ack.id for ack in verdict.lost] == ["m2"]
    near = [(2500, 4500)]
    check_costs(verdict, losing=near, refusing=near, denied=record.denied)
    assert verdict.findings == []
    assert needless(verdict, near) == 1
    assert needless(verdict, [(2500, 6000)]) == 0
    check_costs(verdict, losing=[(0, 3099)], refusing=[(4001, 9000)], denied=record.denied)
    assert [(f.kind, f.client, f.offset) for f in verdict.findings] == [
        ("lost", "js-0", 2),
        ("refused", "js-0", None),
    ]


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


def test_an_epoch_that_began_and_ended_while_a_reader_heard_nothing_is_covered_by_the_word_that_follows() -> (
    None
):
    """Two failovers in a row: what was stored between them lies in an epoch that no reader has seen."""
    lost = ["lost", "g", 3, 3, "epoch", 5000]
    between = [ROOM, "m3", "f", 3, True, 3000, 3100]
    clients = [client("js-0", [START, *got(1, 2), lost, *got(4)], sent=[between])]
    verdict = judged(clients)
    assert (verdict.findings, verdict.acked_unheard) == ([], 1)
    between[5:] = [6000, 6100]
    assert findings(clients) == [("nowhere", "js-0", ROOM, 3)], "it was sent after that word"


def test_a_leave_that_is_told_again_on_one_line_is_found_where_no_store_forgot_the_first() -> None:
    left, again = ["leave", "c1", 1000], ["leave", "c1", 2000]
    verdict = judged([client("js-0", [START, *got(1), left, again])])
    check_costs(verdict, losing=[], refusing=[], resetting=[(1500, 2500)])
    assert verdict.findings == []
    check_costs(verdict, losing=[], refusing=[], resetting=[(0, 1500)])
    assert [(f.kind, f.client, f.channel) for f in verdict.findings] == [("again", "js-0", ROOM)]


@pytest.mark.parametrize(
    "between",
    [["join", "c1", 1500], ["recovered"], ["lost", "e", 1, 1, "slow", 1500], ["leave", "c2", 1500]],
)
def test_a_leave_after_a_join_or_a_return_and_that_of_another_are_no_repetition(
    between: list[Any],
) -> None:
    later = ["leave", "c1" if between[0] != "leave" else "c3", 2000]
    verdict = judged([client("js-0", [START, *got(1), ["leave", "c1", 1000], between, later])])
    assert verdict.again == []


def test_leaves_of_lines_that_did_not_come_to_stand_are_no_repetition_and_those_behind_are() -> (
    None
):
    left = ["leave", "c1", 1000]
    entries = [START, *got(1), ["rejoining"], left, left, ["recovered"], left]
    assert judged([client("js-0", entries)]).again == []
    assert len(judged([client("js-0", [*entries, left])]).again) == 1


def test_a_finding_is_told_in_words() -> None:
    clients = healthy()
    drop(clients)
    assert judged(clients).findings == [
        Finding("missed", "js-0", ROOM, 2, "is missing before m3 at 3")
    ]
