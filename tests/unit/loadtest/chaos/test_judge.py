"""A run is judged by what its faults may cost."""

from __future__ import annotations

from typing import Any

import pytest

from loadtest.chaos.judge import Allowance, judge

ROOM = "room:a"


def run(**changes: Any) -> dict[str, Any]:
    """One fault, at which the newest message is lost and its only reader told so."""
    entries = [
        ["start", "e", 0],
        ["got", 1, "m1", 1150],
        ["lost", "f", 2, 1, "reset", 2700],
    ]
    sent = [[ROOM, "m1", "e", 1, True, 1100, 1120], [ROOM, "m2", "e", 2, True, 1900, 1950]]
    client = {
        "name": "js-0",
        "channels": {ROOM: entries},
        "sent": sent,
        "refused": [],
        "waiting": {},
        "away": [],
        "arrivals": [],
    }
    fault = {"kind": "redis-kill", "target": "", "begun": 2000, "ended": 2300}
    return {
        "begun": 1000,
        "ended": 4000,
        "settled": True,
        "happened": [fault],
        "clients": [client],
        "rest": {},
        "services": [],
        **changes,
    }


def losing(_kind: str) -> Allowance:
    return Allowance(loses=1, resets=True, heals=5)


def test_what_a_fault_may_cost_is_no_failure() -> None:
    judged = judge(run(), losing)
    assert judged.ok
    assert judged.counts["acknowledged and lost"] == 1
    assert judged.counts["needless resets"] == 0


def test_a_loss_by_a_fault_that_may_lose_nothing_fails_and_its_reset_is_needless() -> None:
    judged = judge(run(), lambda _: Allowance(loses=0, resets=False, heals=5))
    assert [finding.kind for finding in judged.verdict.findings] == ["lost"]
    assert not judged.ok
    assert judged.needless == 1


def planned(kind: str) -> Allowance:
    """What planned work costs, and what any other fault of these tests."""
    if kind.startswith("planned"):
        return Allowance(loses=0, resets=False, heals=5, keeps=True)
    return Allowance(loses=1, resets=kind.startswith("redis"), heals=5)


def told(epoch: str, at: int) -> dict[str, Any]:
    """A run in which a reader is told of a loss that nothing acknowledged was part of."""
    given = run(happened=[fault("planned-restart", 2000)], ended=300_000)
    given["clients"][0]["channels"][ROOM][2] = ["lost", epoch, 2, 1, "reset", at]
    given["clients"][0]["sent"].pop()
    return given


def fault(kind: str, begun: int) -> dict[str, Any]:
    return {"kind": kind, "target": "", "begun": begun, "ended": begun + 300}


@pytest.mark.parametrize("epoch", ["e", "f"])
def test_a_word_of_a_loss_after_planned_work_fails(epoch: str) -> None:
    judged = judge(told(epoch, 2700), planned)
    assert [(f.kind, f.client, f.offset) for f in judged.verdict.findings] == [("reset", "js-0", 2)]
    assert not judged.ok
    assert judge(told(epoch, 200_000), planned).ok


def test_a_fault_near_planned_work_explains_a_word_of_a_loss_and_a_new_epoch_where_it_allows_one() -> (
    None
):
    for kind, epoch, ok in [
        ("redis-kill", "f", True),
        ("slow-readers", "e", True),
        ("slow-readers", "f", False),
    ]:
        given = told(epoch, 4700)
        given["happened"].append(fault(kind, 4000))
        assert judge(given, planned).ok is ok, (kind, epoch)


def test_who_hears_late_of_an_epoch_that_began_before_planned_work_is_no_failure() -> None:
    given = told("f", 100_300)
    given["happened"] = [fault("redis-kill", 2000), fault("planned-restart", 100_000)]
    early = told("f", 2700)["clients"][0]
    given["clients"].append({**early, "name": "js-1"})
    assert judge(given, planned).ok
    given["clients"].pop()
    assert not judge(given, planned).ok


def test_what_services_say_and_what_did_not_come_to_rest_fails() -> None:
    judged = judge(run(services=["gateway-1: Traceback (most recent call last)"]), losing)
    (finding,) = judged.verdict.findings
    assert (finding.kind, finding.client) == ("service", "gateway-1")
    assert not judged.ok
    assert not judge(run(settled=False), losing).ok


def test_what_is_lost_after_a_fault_could_do_no_more_harm_fails_though_the_fault_lasts() -> None:
    """A master that was cut off: another one is promoted, and it is reached all the same for a while."""
    cut = {"kind": "master-cut", "target": "", "begun": 1000, "ended": 9000, "over": 1500}
    given = run(happened=[cut], ended=20_000)
    given["clients"][0]["sent"][1][5:] = [2000, 2400]
    assert judge(given, losing).ok
    given["clients"][0]["sent"][1][5:] = [2000, 2600]
    given["clients"][0]["channels"][ROOM][2][5] = 9500
    judged = judge(given, losing)
    assert [finding.kind for finding in judged.verdict.findings] == ["lost"]


def test_a_store_that_was_emptied_loses_what_was_heard_long_ago_and_not_what_nobody_heard() -> None:
    flush = {"kind": "redis-flush", "target": "", "begun": 200_000, "ended": 200_100}
    given = run(happened=[flush], ended=300_000, rest={"logs": {ROOM: ["f", [[1, "m9"]]]}})
    given["clients"][0]["channels"][ROOM] = [
        ["start", "e", 0],
        ["got", 1, "m1", 1150],
        ["lost", "e", 2, 0, "slow", 1500],
        ["lost", "f", 0, 0, "epoch", 201_000],
        ["got", 1, "m9", 202_000],
    ]

    def emptied(_kind: str) -> Allowance:
        return Allowance(loses=60, resets=True, heals=5, empties=True)

    judged = judge(given, emptied)
    assert [(f.kind, f.offset) for f in judged.verdict.findings] == [("lost", 2)]
