"""The first dashboard: are clients served, and if not, where to look next."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import ANY, LATE, SHARE, board, graph, listing, number
from deploy.grafana.promql import quantile, rate, total

_IN = 'namespace=~"$namespace"'
_LOST = 'reason!="lagged"'


def fleet() -> Dashboard:
    """All gateways together."""
    return board(
        "Openline: fleet",
        uid="openline-fleet",
        help="Are clients served? Read the first row; a red number has a row of its own below, and a page in docs/runbooks.",
        node=False,
        rows=[
            ("Are clients served?", _SERVED),
            ("Do messages arrive?", _MESSAGES),
            ("Do clients get in, and stay?", _CLIENTS),
            ("Does each gateway keep up?", _GATEWAYS),
            ("Do clients move as they should?", _MOVES),
            ("Will the objectives hold?", _OBJECTIVES),
            ("Does the way in work?", _WAY_IN),
        ],
    )


_SERVED = [
    number(
        "How many gateways are ready?",
        'service:openline_ready:sum{service="gateway"}',
        help="Red at 0: no client can connect. Start gateways, then see the runbook service-down. A single gateway has no spare.",
        low=((1, "yellow"), (2, "green")),
    ),
    number(
        "How many clients are connected?",
        total("openline_gateway_connections"),
        help="A sudden fall: they were cut off. See below whether they come back, and the runbook reconnect-storm.",
    ),
    number(
        "How much reaches them?",
        rate("openline_gateway_deliveries_total", at=_IN),
        help="Deliveries a second. None while clients are connected: look at publishing, then at Redis.",
        unit="cps",
    ),
    number(
        "How late is it? (p99)",
        quantile(0.99, "openline_gateway_publish_to_write_seconds", at=_IN),
        help="From the publisher's clock to the first subscriber. Red above the objective of 250 ms: see which gateway "
        "is busy or behind; if none is, compare the clocks of publisher and gateways.",
        unit="s",
        steps=LATE,
    ),
    number(
        "Was continuity lost in 5 minutes?",
        f"sum(increase(openline_gateway_resets_total{{{_IN},{_LOST}}}[5m]))"
        f' + sum(increase(openline_gateway_recoveries_total{{{_IN},recovered="false"}}[5m]))',
        help="Subscribers that were told to load their state again. Expected after an outage of Redis; otherwise see "
        "the runbooks recoveries-fail and bus-overrun.",
        steps=((1, "yellow"), (100, "red")),
    ),
    number(
        "How many alerts fire?",
        'count(ALERTS{alertstate="firing",alertname=~"Openline.*"}) or vector(0)',
        help="Alertmanager names them; each has a page in docs/runbooks that says what to do.",
        steps=ANY,
    ),
]


_MESSAGES = [
    graph(
        "How long does a message take? (p99)",
        {
            "{{namespace}}": f"namespace:openline_gateway_publish_to_write_seconds:p99_rate5m{{{_IN}}}"
        },
        help="From publish to the first subscriber. All namespaces late: gateways or Redis. One late: that one's traffic.",
        unit="s",
        steps=LATE,
    ),
    graph(
        "Which namespaces carry the traffic?",
        {"{{namespace}}": f"namespace:openline_gateway_deliveries:rate5m{{{_IN}}}"},
        help="Deliveries a second. If a gateway is busy, look here for the namespace that grew.",
        unit="cps",
        stacked=True,
    ),
    graph(
        "Who is told that messages are missing?",
        {
            "{{namespace}}: {{reason}}": rate(
                "openline_gateway_resets_total", "namespace, reason", at=_IN
            )
        },
        help="epoch: Redis lost or replaced a history. history: the log was too short for what was missed. lagged: a "
        "slow reader of a namespace that prefers the latest value, which is not a fault.",
        unit="cps",
    ),
    graph(
        "Do readers keep up?",
        {
            "{{namespace}}: {{policy}}": rate(
                "openline_gateway_slow_consumers_total", "namespace, policy", at=_IN
            )
        },
        help="Messages withheld from readers that are too slow, by what their namespace does about it. Many at once: "
        "messages are too large or too many; see the runbook slow-consumers.",
        unit="cps",
    ),
    graph(
        "Does the bus reach every gateway?",
        {"{{instance}}": "max by (instance) (openline_gateway_canary_age_seconds)"},
        help="Age of each gateway's own heartbeat as it comes back from Redis; about 1 s, 3 s while nothing is sent. One rises: its bus has stalled, it moves "
        "its clients and restarts; see the runbook gateway-bus-stalled. "
        "All rise: Redis, or the network to it.",
        unit="s",
        steps=((4, "yellow"), (5, "red")),
        to_gateway=True,
    ),
    graph(
        "Is any gateway behind?",
        {"{{instance}}": total("openline_gateway_bus_lag_entries", "instance")},
        help="Entries on the bus that it has not read. It falls back to 0 after a burst; if it grows, the gateway is out of "
        "CPU: add gateways.",
        steps=((1000, "red"),),
        to_gateway=True,
    ),
]


_CLIENTS = [
    graph(
        "Where are the clients?",
        {"{{instance}}": total("openline_gateway_connections", "instance")},
        help="They should be spread evenly. After a roll-out the newest gateway has fewest until clients move by themselves.",
        stacked=True,
        to_gateway=True,
    ),
    graph(
        "Do handshakes succeed?",
        {"{{outcome}}": rate("openline_gateway_handshakes_total", "outcome")},
        help="unauthorized: tokens are wrong or old, look at auth. unavailable: Redis or keys. draining: a gateway leaves, "
        "and Nginx has tried the next. rate_limited: one address connects too often.",
        unit="cps",
    ),
    graph(
        "Why do connections end?",
        {"{{code}}": rate("openline_gateway_closes_total", "code")},
        help="1000, 1001: they left. 1006: the network. 4100: a gateway drained. 4101: too slow. 4102: dead. 4200: token "
        "ended. The table is in docs/reference/protocol.md.",
        unit="cps",
    ),
    graph(
        "Do returning clients get all they missed?",
        {
            "reconnects": rate("openline_gateway_reconnects_total"),
            "recovered": rate("openline_gateway_recoveries_total", at=f'{_IN},recovered="true"'),
            "flagged": rate("openline_gateway_recoveries_total", at=f'{_IN},recovered="false"'),
        },
        help="Flagged subscriptions were told that they missed something. Many: histories are shorter than clients are away, "
        "see the runbook recoveries-fail.",
        unit="cps",
    ),
    graph(
        "How many subscriptions are there?",
        {"{{namespace}}": total("openline_gateway_subscriptions", "namespace", at=_IN)},
        help="A message of a namespace costs this many deliveries at most.",
        stacked=True,
    ),
]


_GATEWAYS = [
    listing(
        "Which gateways are there?",
        {
            "Up": "max by (instance, node, version) (openline_gateway_build_info)",
            "Ready": "max by (instance) (openline_gateway_ready)",
            "Draining": "max by (instance) (openline_gateway_draining)",
            "Clients": total("openline_gateway_connections", "instance"),
            "CPU": 'max by (instance) (instance:openline_process_cpu:rate5m{job="openline-gateway"})',
            "Memory": 'max by (instance) (process_resident_memory_bytes{job="openline-gateway"})',
        },
        help="A click on one opens its dashboard. Versions differ only during a roll-out.",
        hidden=["Up"],
        units={"CPU": "percentunit", "Memory": "bytes"},
        yes_no=["Ready", "Draining"],
    ),
    graph(
        "Is any gateway out of CPU?",
        {"{{instance}}": 'instance:openline_process_cpu:rate5m{job="openline-gateway"}'},
        help="A gateway is one process on one core. Above 70 % add gateways: delays grow steeply near 100 %.",
        unit="percentunit",
        steps=SHARE,
        to_gateway=True,
    ),
    graph(
        "Does any grow in memory?",
        {"{{instance}}": 'process_resident_memory_bytes{job="openline-gateway"}'},
        help="It follows the connections. One that grows without them: slow readers, or a leak; move its clients by a drain.",
        unit="bytes",
        to_gateway=True,
    ),
    graph(
        "Is any event loop late? (p90)",
        {"{{instance}}": quantile(0.9, "openline_gateway_loop_delay_seconds", "instance")},
        help="Every delivery and handshake of that gateway waits this long. Late while CPU is low: the machine is overbooked.",
        unit="s",
        steps=LATE,
        to_gateway=True,
    ),
]


_MOVES = [
    graph(
        "Which gateways drain?",
        {"{{instance}}": "max by (instance) (openline_gateway_draining)"},
        help="1 from SIGTERM, or a drain by name, until it ends or is taken back. One that stays: see its page on this board, "
        "and docs/deploy/upgrades.md. Several at once: the others must take all of their clients.",
        to_gateway=True,
    ),
    graph(
        "Do drains move clients gently?",
        {"{{outcome}}": rate("openline_gateway_drained_connections_total", "outcome")},
        help="moved: clients that left when asked. closed: clients that had to be closed. Both recover. 0 while no gateway drains.",
        unit="cps",
    ),
    graph(
        "Who hands clients over to gateways with fewer?",
        {
            "{{instance}} {{outcome}}": rate(
                "openline_gateway_shed_connections_total", "instance, outcome"
            )
        },
        help="After a scale-out, with OPENLINE_SHEDDING=on. moved: who went when asked. closed: who did not, and recovers. Without "
        "an end: the load balancer brings them back, see docs/deploy/kubernetes.md.",
        unit="cps",
        to_gateway=True,
    ),
    graph(
        "Is the fleet even?",
        {
            "{{instance}}": f"{total('openline_gateway_connections', 'instance')}"
            f" / scalar(avg({total('openline_gateway_connections', 'instance')}) > 0)"
        },
        help="Clients of each gateway, of the mean of all. Shedding begins above 1.1 and ends at 1.05.",
        steps=((1.1, "yellow"),),
        to_gateway=True,
    ),
]


_OBJECTIVES = [
    graph(
        "How fast do error budgets burn?",
        {"{{slo}}": "slo:openline_burn:ratio_rate1h"},
        help="1 uses a month's budget in a month; 14.4 uses 2 % of it in an hour and pages someone. docs/slos.md says what "
        "counts as bad.",
        steps=((1, "yellow"), (6, "orange"), (14.4, "red")),
        width=12,
    ),
    number(
        "How much of the month's budgets is left?",
        "1 - sum_over_time(slo:openline_bad_events:rate5m[30d])"
        " / (sum_over_time(slo:openline_events:rate5m[30d]) > 0)"
        " / on (slo) (1 - slo:openline_objective:ratio)",
        help="Below 0 the objective is missed: hold changes back until it has recovered.",
        unit="percentunit",
        low=((0, "yellow"), (0.25, "green")),
        legend="{{slo}}",
        width=12,
        now=True,
    ),
]


_WAY_IN = [
    graph(
        "Does Nginx serve?",
        {
            "open": total("nginx_connections_active"),
            "answering": total("nginx_connections_writing"),
            "idle": total("nginx_connections_waiting"),
            "asking": total("nginx_connections_reading"),
        },
        help="Each WebSocket is one answering here and another to a gateway. Near worker_connections new ones are dropped.",
    ),
    graph(
        "How many requests come in?",
        {
            "nginx": rate("nginx_http_requests_total"),
            "{{service}}": "service:openline_requests:rate5m",
        },
        help="Requests a second at the front door, and those that publisher and auth answer.",
        unit="reqps",
    ),
    graph(
        "Do people get tokens?",
        {
            "login {{outcome}}": rate("openline_auth_logins_total", "outcome"),
            "token {{grant}}": rate("openline_auth_tokens_total", "grant"),
            "{{error}}": rate("openline_auth_failures_total", "error"),
        },
        help="Refused logins rise: someone is guessing, see the runbook logins-refused. Errors `unavailable`: the database.",
        unit="cps",
    ),
]
