"""The report says at which load each cost was measured."""

from __future__ import annotations

import json
from dataclasses import replace

from loadtest.capacity.figures import Cost, Crowd, Figures, Slo, Step
from loadtest.capacity.report import Result, as_json, markdown
from loadtest.capacity.sizing import Wish, plan

FIGURES = Figures(
    knee=60_000,
    knee_core=0.5,
    delivery_us=15,
    entry_us=180,
    publish_us=480,
    redis_us=260,
    reader_core=0.004,
    nginx_us=20,
    nginx_kb=27,
    handshake_us=1300,
    connection_kb=7,
    redis_kb=0.5,
    gateway_mb=60,
    connections=18_000,
)
IDLE = {"gateway": 0.02, "gateway-2": 0.01, "redis": 0.03, "publisher": 0.04}


def step(rate: float, gateway: float) -> Step:
    cores = {"gateway": gateway, "gateway-2": 0.0, "redis": 0.1, "publisher": 0.1}
    return Step(rate, rate, rate / 100, 5, 20, 1, 0, cores)


def result() -> Result:
    first, top = step(5_000, 0.075), step(60_000, 0.288)
    wish = Wish(1_000_000, 0.1, 100)
    return Result(
        machine=dict.fromkeys(
            ("revision", "cores", "processor", "memory_gib", "kernel", "python", "load_average"), 1
        ),
        command="make capacity",
        slo=Slo(250),
        steps=[first, top],
        crowds=[Crowd(18_000, 250, 1300, 128, 10, 0.1, 12, 1, 0)],
        readers=2_000,
        idle=IDLE,
        costs={
            "delivery_us": Cost(15, first),
            "entry_us": Cost(180, first),
            "publish_us": Cost(480, top),
            "redis_us": Cost(260, first),
        },
        figures=FIGURES,
        wish=wish,
        plan=plan(FIGURES, wish),
    )


def test_each_cost_has_the_step_at_which_it_was_measured() -> None:
    lines = markdown(result(), images=".").splitlines()
    assert "| a delivery | gateway | 15.0 us | 5,000 deliveries/s, 50 messages/s |" in lines
    assert (
        "| a message by HTTP | publisher | 480 us | 60,000 deliveries/s, 600 messages/s |" in lines
    )
    assert "| 0 | 0 | 0 | | | | | 0.020 | 0.010 | 0.030 | 0.040 | | |" in lines


def test_it_says_by_how_much_costs_fall_and_what_the_plan_counts_on() -> None:
    text = markdown(result(), images=".")
    assert (
        "a delivery cost 15.0 us at 5,000/s and 4.8 us at 60,000/s, where a connection got 2.5 and 30.0 messages a "
        "second. The plan's get 0.1"
    ) in text


def test_programs_can_read_the_same() -> None:
    written = json.loads(as_json(result()))
    assert written["idle"] == IDLE
    assert written["measured_at"]["publish_us"] == 60_000
    assert written["figures"]["publish_us"] == 480


def test_it_says_what_ended_a_trial() -> None:
    held = result()
    broken = step(84_000, 0.97)._replace(p99=400, driver=0.5, machine=0.8)
    ended = replace(held, steps=[*held.steps, broken])
    assert "**gateway CPU** ended it (p99 400 ms is over 250 ms)" in markdown(ended, images=".")
    assert json.loads(as_json(ended))["ended_by"] == {
        "deliveries": ["gateway CPU"],
        "connections": [],
    }
