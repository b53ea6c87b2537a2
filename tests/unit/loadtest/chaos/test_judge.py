"""A run is judged by what its faults may cost."""

from __future__ import annotations

from typing import Any

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
