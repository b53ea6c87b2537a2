"""The report: what held, what one of each costs, and the plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.capacity.bounds import bound
from loadtest.capacity.figures import SHARE, Cost, Crowd, Figures, Slo, Step, delivery_us, knee
from loadtest.capacity.sizing import FILES, Plan, Wish
from loadtest.capacity.trial import PROXIED, PROXIED_RATE, READ_RATE

_PROGRAMS = ("gateway", "gateway-2", "redis", "publisher")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A whole run. `idle` are the cores that each program used before the first step, `costs` the figures of dearest steps
    by their names.
    """

    machine: Mapping[str, Any]
    command: str
    slo: Slo
    steps: Sequence[Step]
    crowds: Sequence[Crowd]
    readers: int
    idle: Mapping[str, float]
    costs: Mapping[str, Cost]
    figures: Figures
    wish: Wish
    plan: Plan


def as_json(result: Result) -> str:
    """Everything, for programs."""
    content = {
        "machine": dict(result.machine),
        "command": result.command,
        "slo": result.slo._asdict(),
        "deliveries": [step._asdict() for step in result.steps],
        "connections": [crowd._asdict() for crowd in result.crowds],
        "ended_by": {
            "deliveries": _ended_by(result.steps[-1], result.slo),
            "connections": _ended_by(result.crowds[-1], result.slo),
        },
        "idle": dict(result.idle),
        "figures": asdict(result.figures),
        "measured_at": {name: cost.step.rate for name, cost in result.costs.items()},
        "wish": result.wish._asdict(),
        "plan": {
            **result.plan._asdict(),
            "memory_limit_mb": result.plan.memory_limit_mb,
            "lines": [line._asdict() for line in result.plan.lines],
        },
    }
    return json.dumps(content, indent=1)


def markdown(result: Result, *, images: str) -> str:
    """The report; pictures lie in `images`."""
    return "\n".join(
        [
            *_head(result),
            *_deliveries(result, images),
            *_connections(result, images),
            *_costs(result),
            *_plan(result),
        ]
    )


def _ended_by(last: Step | Crowd, slo: Slo) -> list[str]:
    """Empty where a trial went as far as was asked."""
    found = bound(last, slo)
    return list(found.by) if found else []


def _head(result: Result) -> list[str]:
    machine = result.machine
    return [
        "# Capacity",
        "",
        (
            f"Written by `{result.command}` at revision {machine['revision']} on {machine['cores']} cores of "
            f"{machine['processor']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}, Python {machine['python']}; "
            f"load average {machine['load_average']} before the start."
        ),
        "",
        (
            "Openline, Redis, whoever publishes and all clients share these cores, so where the knee is says more about the "
            "machine than about a gateway. The plan is made from what one delivery, message, connection and handshake costs, "
            "at the step where it cost most: it does not depend on how high the knee is; other work on the machine makes it "
            "dearer. Connections are held by one process of plain sockets, which costs next "
            "to nothing; `make load` has users with a behaviour, and far fewer of them."
        ),
        "",
    ]


def _deliveries(result: Result, images: str) -> list[str]:
    top = knee(result.steps, result.slo)
    first = (
        f"**The knee**: {top.rate:,.0f} deliveries/s with p99 {top.p99:.0f} ms and {top.cores['gateway']:.2f} of a core "
        f"for the gateway. The next step broke the SLO (p99 within {result.slo.p99:g} ms, nothing missing)."
        if top
        else "No step held the SLO."
    )
    ended = bound(result.steps[-1], result.slo)
    if ended:
        first += f" {ended.text}"
    rows = [
        f"| {step.offered:,.0f} | {step.rate:,.0f} | {step.messages:,.0f} | {step.p50:.1f} | {step.p99:.1f} | "
        f"{step.arrived:.4f} | {step.gaps} | {step.cores['gateway']:.2f} | {step.cores['gateway-2']:.2f} | "
        f"{step.cores['redis']:.2f} | {step.cores['publisher']:.2f} | {step.driver:.2f} | {step.machine:.0%} |"
        for step in result.steps
    ]
    return [
        "## Deliveries",
        "",
        (
            f"{result.readers:,} readers on one gateway, {result.wish.audience:g} of each message, published by HTTP; a step "
            "that breaks the SLO is tried three times."
        ),
        "",
        first,
        "",
        f"![Latency and CPU over deliveries]({images}/capacity-deliveries.png)",
        "",
        (
            "| offered/s | delivered/s | messages/s | p50, ms | p99, ms | arrived | missing | gateway, of a core | "
            "gateway without readers | Redis | publisher | load generator | machine |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        f"| 0 | 0 | 0 | | | | | {' | '.join(f'{result.idle[name]:.3f}' for name in _PROGRAMS)} | | |",
        *rows,
        "",
    ]


def _connections(result: Result, images: str) -> list[str]:
    last = result.crowds[-1]
    found = bound(last, result.slo)
    ended = "where it ended" if found else "as many as were asked for"
    rows = [
        f"| {crowd.connections:,} | {crowd.opened:,.0f} | {crowd.handshake_us:.0f} | {crowd.gateway_mb:.0f} | "
        f"{crowd.redis_mb:.0f} | {crowd.core:.2f} | {crowd.p99:.1f} |"
        for crowd in result.crowds
    ]
    return [
        "## Connections",
        "",
        (
            f"One gateway held {last.connections:,} connections, {ended}: native sessions, each with a token and a personal "
            f"channel of its own, listening to a topic besides, with {result.wish.each:g} messages a second for each."
            + (f" {found.text}" if found else "")
        ),
        "",
        f"![Memory and CPU over connections]({images}/capacity-connections.png)",
        "",
        (
            "| connections | opened/s | gateway's CPU for each, us | gateway, MB more | Redis, MB more | gateway, of a core | "
            "p99, ms |"
        ),
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _costs(result: Result) -> list[str]:
    figures, last = result.figures, result.crowds[-1]
    at = {
        name: f"{cost.step.rate:,.0f} deliveries/s, {cost.step.messages:,.0f} messages/s"
        for name, cost in result.costs.items()
    }
    proxied = f"{PROXIED_RATE:,.0f} deliveries/s to {PROXIED:,} connections"
    crowds = f"all steps up to {last.connections:,} connections"
    rows = [
        ("a delivery", "gateway", f"{figures.delivery_us:.1f} us", at["delivery_us"]),
        ("a delivery", "nginx", f"{figures.nginx_us:.1f} us", proxied),
        (
            "a message that nobody on it reads",
            "gateway",
            f"{figures.entry_us:.0f} us",
            at["entry_us"],
        ),
        ("a message by HTTP", "publisher", f"{figures.publish_us:.0f} us", at["publish_us"]),
        ("a message", "Redis, two gateways reading", f"{figures.redis_us:.0f} us", at["redis_us"]),
        (
            "one more gateway that reads",
            "Redis",
            f"{figures.reader_core:.4f} of a core at the most",
            f"{READ_RATE} messages/s, which is as often as it reads",
        ),
        (
            "a handshake with a subscription and a new token",
            "gateway",
            f"{figures.handshake_us:.0f} us",
            f"{last.opened:,.0f} opened/s, the last ones of {last.connections:,}",
        ),
        ("a connection", "gateway", f"{figures.connection_kb:.1f} KB", crowds),
        ("a connection", "Redis", f"{figures.redis_kb:.2f} KB", crowds),
        ("a connection", "nginx", f"{figures.nginx_kb:.1f} KB", f"{PROXIED:,} connections"),
        ("nobody", "gateway", f"{figures.gateway_mb:.0f} MB", "a new gateway"),
    ]
    first, top = result.steps[0], knee(result.steps, result.slo) or result.steps[0]
    return [
        "## What one of each costs",
        "",
        "| what | whom | CPU or memory | measured at |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        (
            "Deliveries and messages have the dearest price of all steps that held the SLO; a message's is what a program "
            f"used over the line without load. Prices fall as load grows, since what is close in time leaves as one: a "
            f"delivery cost {delivery_us(first):.1f} us at {first.rate:,.0f}/s and {delivery_us(top):.1f} us at "
            f"{top.rate:,.0f}/s, where a connection got {first.rate / result.readers:.1f} and "
            f"{top.rate / result.readers:.1f} messages a second. The plan's get {result.wish.each:g}, so it does not count "
            "on that and is on the safe side (`make bench` shows both)."
        ),
        "",
    ]


def _plan(result: Result) -> list[str]:
    plan, wish = result.plan, result.wish
    return [
        f"## A plan for {wish.connections:,} connections",
        "",
        (
            f"Each gets {wish.each:g} messages a second on average, and a message reaches {wish.audience:g} of them; "
            f"processors and memory are planned to be used to {SHARE:.0%}."
        ),
        "",
        "| what | how | is |",
        "|---|---|---|",
        *(f"| {line.what} | {line.sum} | {line.result} |" for line in plan.lines),
        "",
        *(f"{warning}\n" for warning in plan.warnings),
        "| where | what | value |",
        "|---|---|---|",
        f"| HPA of the gateways | `minReplicas` | {plan.gateways} |",
        f"| | target of connections a pod | {plan.per_gateway:,} |",
        f"| | target of CPU | {SHARE:.0%} of a request of one core |",
        f"| gateway | memory request, limit | {plan.memory_limit_mb * 2 // 3} MB, {plan.memory_limit_mb} MB |",
        f"| | open files (`ulimits.nofile`) | {FILES:,} |",
        f"| nginx | replicas | {plan.nginx_pods} |",
        f"| | workers in all, a core each | {plan.nginx_workers} |",
        f"| | `worker_connections` of all workers together | {2 * wish.connections:,} |",
        f"| publisher | replicas | {plan.publishers} |",
        f"| Redis | servers | {plan.servers or 'no number would do'} |",
        f"| | of the one core of each | {plan.redis_core:.2f} |",
        f"| | `OPENLINE_PARTITIONS` | {plan.partitions} |",
        "",
    ]
