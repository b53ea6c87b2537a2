"""The second dashboard: what is the matter with this gateway."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import GATEWAY, LATE, SHARE, board, graph, number
from deploy.grafana.promql import quantile, rate, total

_AT = 'instance=~"$node"'
_JOB = f'job="openline-gateway",{_AT}'
_IN = f'{_AT},namespace=~"$namespace"'


def gateway() -> Dashboard:
    """One gateway, or some of them."""
    return board(
        "Openline: one gateway",
        uid=GATEWAY,
        help="What is wrong with this gateway? Choose it above. A faulty gateway can be stopped at any time: SIGTERM moves "
        "its clients to the others, and they lose nothing.",
        node=True,
        rows=[
            ("Is it well?", _HEALTH),
            ("Who is on it?", _CLIENTS),
            ("What does it deliver?", _MESSAGES),
            ("Does the bus reach it?", _BUS),
            ("What does it cost?", _PROCESS),
        ],
    )


_HEALTH = [
    number(
        "Does it want clients?",
        f"min(openline_gateway_ready{{{_AT}}})",
        help="No: it is starting or draining, or its bus has stalled. /readyz on its own port says why; the runbook is gateway-not-ready.",
        low=((1, "green"),),
        yes_no=True,
    ),
    number(
        "Is it draining?",
        f"max(openline_gateway_draining{{{_AT}}})",
        help="Yes while it moves its clients to other gateways. It then exits, which is normal.",
        steps=((1, "blue"),),
        yes_no=True,
    ),
    number(
        "Does Redis answer it?",
        f"min(openline_gateway_store_up{{{_AT}}})",
        help="No on this one alone: its network. No on all: Redis; see the runbook redis-down.",
        low=((1, "green"),),
        yes_no=True,
    ),
    number(
        "Since when does it run?",
        f"min(time() - process_start_time_seconds{{{_JOB}}})",
        help="Short, and you did not restart it: it crashed, or its watchdog or a stalled bus ended it. Its log says why.",
        unit="s",
    ),
    number(
        "What runs there?",
        f"max by (version, node) (openline_gateway_build_info{{{_AT}}})",
        help="Name and version of each. During a roll-out they differ; at other times see the runbook versions-differ.",
        legend="{{node}} {{version}}",
    ),
    number(
        "How busy is it?",
        f"max(instance:openline_process_cpu:rate5m{{{_JOB}}})",
        help="Of one core. Above 85 % everything on it is late: add gateways.",
        unit="percentunit",
        steps=SHARE,
    ),
]


_CLIENTS = [
    graph(
        "How many clients does it hold?",
        {"{{transport}}": total("openline_gateway_connections", "transport", at=_AT)},
        help="A step down: it lost them, and they come back elsewhere.",
        stacked=True,
    ),
    graph(
        "What are they subscribed to?",
        {"{{namespace}}": total("openline_gateway_subscriptions", "namespace", at=_IN)},
        help="Subscriptions by namespace.",
        stacked=True,
    ),
    graph(
        "Do handshakes succeed?",
        {
            "{{transport}} {{outcome}}": rate(
                "openline_gateway_handshakes_total", "transport, outcome", at=_AT
            )
        },
        help="Outcomes other than accepted are error codes, as clients see them.",
        unit="cps",
    ),
    graph(
        "Why do they go?",
        {"{{code}}": rate("openline_gateway_closes_total", "code", at=_AT)},
        help="4100: drained. 4101: too slow. 4102: no sign of life. 1006: cut off. 1000 and 1001: they left.",
        unit="cps",
    ),
    graph(
        "What do they ask for?",
        {"{{type}}": rate("openline_gateway_commands_total", "type", at=_AT)},
        help="Commands a second. Many `subscribe` at once: clients reconnect.",
        unit="cps",
    ),
    graph(
        "What is refused?",
        {"{{code}}": rate("openline_gateway_errors_total", "code", at=_AT)},
        help="rate_limited: a client is too fast. forbidden: its token does not allow it. unavailable: Redis.",
        unit="cps",
    ),
]


_MESSAGES = [
    graph(
        "How long does a message take?",
        {
            "p50": quantile(0.5, "openline_gateway_publish_to_write_seconds", at=_IN),
            "p99": quantile(0.99, "openline_gateway_publish_to_write_seconds", at=_IN),
            "p99.9": quantile(0.999, "openline_gateway_publish_to_write_seconds", at=_IN),
        },
        help="From publish to its first subscriber here. Later than on others: this gateway is busy or behind.",
        unit="s",
        steps=LATE,
    ),
    graph(
        "How much does it deliver?",
        {"{{namespace}}": rate("openline_gateway_deliveries_total", "namespace", at=_IN)},
        help="Messages written to connections a second.",
        unit="cps",
        stacked=True,
    ),
    graph(
        "How wide is the fan-out?",
        {
            "{{namespace}}": rate("openline_gateway_deliveries_total", "namespace", at=_IN)
            + " / "
            + rate("openline_gateway_sweeps_total", "namespace", at=_IN)
        },
        help="Deliveries a sweep over a channel's subscribers. Large is cheap; many sweeps with few subscribers are expensive.",
    ),
    graph(
        "How much do clients send?",
        {"{{namespace}}": rate("openline_gateway_messages_received_total", "namespace", at=_IN)},
        help="Messages from clients a second; those by HTTP are on the dashboard of publishing.",
        unit="cps",
    ),
    graph(
        "Is continuity lost here?",
        {
            "reset: {{reason}}": rate("openline_gateway_resets_total", "reason", at=_IN),
            "not recovered": rate(
                "openline_gateway_recoveries_total", at=f'{_IN},recovered="false"'
            ),
            "recovered": rate("openline_gateway_recoveries_total", at=f'{_IN},recovered="true"'),
        },
        help="Here alone: it fell behind the bus. Everywhere: Redis lost something.",
        unit="cps",
    ),
    graph(
        "Are its readers too slow?",
        {
            "{{namespace}}: {{policy}}": rate(
                "openline_gateway_slow_consumers_total", "namespace, policy", at=_IN
            )
        },
        help="Messages withheld. disconnect: the reader is closed and recovers. latest, drop: it misses what is between.",
        unit="cps",
    ),
]


_BUS = [
    graph(
        "Is it behind?",
        {"{{instance}} partition {{partition}}": f"openline_gateway_bus_lag_entries{{{_AT}}}"},
        help="Entries not read yet. Growing: out of CPU. At the length of the bus it loses its place, and resyncs.",
        steps=((1000, "red"),),
    ),
    graph(
        "Does its own beat come back?",
        {
            "{{instance}} age {{partition}}": f"openline_gateway_canary_age_seconds{{{_AT}}}",
            "{{instance}} way {{partition}}": f"openline_gateway_delivery_lag_seconds{{{_AT}}}",
        },
        help="By partition. The age is about 1 s at most, 3 s while nothing is sent. Above 5 it receives nothing; at 10 it reconnects to Redis.",
        unit="s",
        steps=((5, "red"),),
    ),
    graph(
        "How much does it read?",
        {
            "partition {{partition}}": rate(
                "openline_gateway_bus_entries_total", "partition", at=_AT
            ),
            "resyncs": rate("openline_gateway_resyncs_total", at=_AT),
        },
        help="Entries of the bus a second: every gateway reads all of them. Resyncs: it lost its place on the bus and read histories instead.",
        unit="cps",
    ),
    graph(
        "What does it ask of Redis?",
        {"{{operation}}": rate("openline_gateway_broker_calls_total", "operation", at=_AT)},
        help="Calls a second. `look` rises with reconnects; `publish` with what clients send.",
        unit="cps",
    ),
    graph(
        "What does Redis not answer?",
        {"{{operation}}": rate("openline_gateway_broker_failures_total", "operation", at=_AT)},
        help="Failed calls a second. Any that last: see the runbook store-unavailable.",
        unit="cps",
    ),
    graph(
        "Did it move its clients?",
        {"{{outcome}}": total("openline_gateway_drained_connections_total", "outcome", at=_AT)},
        help="While it drains: how many clients left when asked, and how many it had to close.",
    ),
]


_PROCESS = [
    graph(
        "Is it out of CPU?",
        {"{{instance}}": f"instance:openline_process_cpu:rate5m{{{_JOB}}}"},
        help="Of its one core. Above 70 % add gateways; then end the busiest, so that its clients spread.",
        unit="percentunit",
        steps=SHARE,
        width=6,
    ),
    graph(
        "Does it grow?",
        {"{{instance}}": f"process_resident_memory_bytes{{{_JOB}}}"},
        help="Compare with the connections above; the memory of slow readers is bounded by OPENLINE_OUTBOX_BYTES each.",
        unit="bytes",
        width=6,
    ),
    graph(
        "Is its loop late?",
        {"p90": quantile(0.9, "openline_gateway_loop_delay_seconds", at=_AT)},
        help="How late it runs callbacks. Late while CPU is low: the machine is overbooked.",
        unit="s",
        steps=LATE,
        width=6,
    ),
    graph(
        "How many files are left?",
        {"{{instance}}": f"process_max_fds{{{_JOB}}} - process_open_fds{{{_JOB}}}"},
        help="Each connection takes one. With none left it refuses clients: raise the limit of open files, or add gateways.",
        width=6,
    ),
]
