"""The third dashboard: what goes in, and how Redis carries it."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import ANY, LATE, SHARE, board, graph, number
from deploy.grafana.promql import quantile, rate

_IN = 'namespace=~"$namespace"'
_ASKED = 'route!="other"'


def publishing() -> Dashboard:
    """Publisher, auth and Redis."""
    return board(
        "Openline: publishing and Redis",
        uid="openline-publishing",
        help="Does what back ends publish get stored, how fast, and has Redis room for more?",
        node=False,
        rows=[
            ("Can back ends publish?", _HEALTH),
            ("What do they publish?", _PUBLICATIONS),
            ("How do publisher and auth answer?", _HTTP),
            ("How is Redis?", _REDIS),
            ("How is each partition and server?", _PARTITIONS),
        ],
    )


_HEALTH = [
    number(
        "How many publishers are ready?",
        'service:openline_ready:sum{service="publisher"}',
        help="0: nothing can be published by HTTP. /readyz says whether Redis or the keys are missing.",
        low=((1, "yellow"), (2, "green")),
    ),
    number(
        "Does Redis answer?",
        "min(redis_up)",
        help="No: see the runbook redis-down. Clients stay connected meanwhile.",
        low=((1, "green"),),
        yes_no=True,
    ),
    number(
        "How many messages go in?",
        rate("openline_publisher_publications_total", at=_IN),
        help="Publications a second by HTTP, refused ones included.",
        unit="cps",
    ),
    number(
        "How many fail because of us?",
        rate("openline_publisher_publications_total", at=f'{_IN},outcome=~"unavailable|internal"'),
        help="unavailable: Redis did not store it, and the back end may try again with the same key. internal: a fault.",
        unit="cps",
        steps=ANY,
    ),
    number(
        "How long does one take? (p99)",
        quantile(0.99, "openline_publisher_publish_seconds"),
        help="Until Redis has stored it. Late: Redis is busy, or its disk is.",
        unit="s",
        steps=LATE,
    ),
    number(
        "How full is Redis?",
        "max(instance:redis_memory:ratio) or max(redis_memory_used_bytes * 0)",
        help="At 100 % it refuses every publication: see the runbook redis-memory. 0 when no maximum is set.",
        unit="percentunit",
        steps=SHARE,
    ),
]


_PUBLICATIONS = [
    graph(
        "What becomes of publications?",
        {"{{outcome}}": rate("openline_publisher_publications_total", "outcome", at=_IN)},
        help="stored, ephemeral, duplicate (its key was known) or why it was refused: the names are those that back ends get.",
        unit="cps",
    ),
    graph(
        "Into which namespaces?",
        {"{{namespace}}": rate("openline_publisher_publications_total", "namespace", at=_IN)},
        help="Publications a second. Times the subscribers on the dashboard of the fleet this is what gateways deliver.",
        unit="cps",
        stacked=True,
    ),
    graph(
        "How long does storing take?",
        {
            legend: quantile(part, "openline_publisher_publish_seconds")
            for part, legend in ((0.5, "p50"), (0.99, "p99"))
        },
        help="Redis and the way to it. Higher with appendfsync always than with everysec.",
        unit="s",
        steps=LATE,
    ),
    graph(
        "What does Redis not answer?",
        {"{{operation}}": rate("openline_publisher_broker_failures_total", "operation")},
        help="Failed calls of publishers a second. `publish`: back ends got 503 and should try again.",
        unit="cps",
    ),
    graph(
        "What is asked of Redis?",
        {"{{operation}}": rate("openline_publisher_broker_calls_total", "operation")},
        help="Calls of publishers a second. `history` and `members` are reads, and cost more than they seem to.",
        unit="cps",
    ),
    graph(
        "Is a publisher or auth out of CPU?",
        {
            "{{job}} {{instance}}": 'instance:openline_process_cpu:rate5m{job=~"openline-(publisher|auth)"}'
        },
        help="Of one core; auth hashes passwords on several. Add publishers above 70 %.",
        unit="percentunit",
        steps=SHARE,
    ),
]


_HTTP = [
    graph(
        "What is called?",
        {
            "publisher {{route}}": rate("openline_publisher_requests_total", "route", at=_ASKED),
            "auth {{route}}": rate("openline_auth_requests_total", "route", at=_ASKED),
        },
        help="Requests a second by route.",
        unit="reqps",
    ),
    graph(
        "What is answered with an error?",
        {
            f"{service} {{{{route}}}} {{{{status}}}}": rate(
                f"openline_{service}_requests_total", "route, status", at='status=~"[45].."'
            )
            for service in ("publisher", "auth")
        },
        help="4xx is the caller's doing: 401 a token, 403 a scope, 429 too fast. 5xx is ours: see the logs of that service.",
        unit="reqps",
    ),
    graph(
        "Which part of requests fails because of us?",
        {"{{service}}": "service:openline_request_errors:ratio_rate5m"},
        help="Part of requests that were answered with 5xx.",
        unit="percentunit",
        steps=((0.001, "yellow"), (0.01, "red")),
    ),
    graph(
        "How long do publisher's answers take? (p99)",
        {"{{route}}": quantile(0.99, "openline_publisher_request_seconds", "route", at=_ASKED)},
        help="Longer than storing takes: the publisher itself is busy.",
        unit="s",
        steps=LATE,
    ),
    graph(
        "How long do auth's answers take? (p99)",
        {"{{route}}": quantile(0.99, "openline_auth_request_seconds", "route", at=_ASKED)},
        help="Logins take as long as a password is hashed; everything else should not.",
        unit="s",
    ),
    graph(
        "How long does hashing take? (p99)",
        {"p99": quantile(0.99, "openline_auth_hash_seconds")},
        help="Waiting included. It rises with many logins at once: raise OPENLINE_AUTH_HASHERS, or add auth services.",
        unit="s",
    ),
]


_REDIS = [
    graph(
        "Has it room?",
        {
            "used {{instance}}": "redis_memory_used_bytes",
            "resident {{instance}}": "redis_memory_used_rss_bytes",
            "maximum {{instance}}": "redis_memory_max_bytes > 0",
        },
        help="Histories take most of it: shorten history_size or history_ttl, or give it more. The runbook is redis-memory.",
        unit="bytes",
    ),
    graph(
        "Are messages refused for want of memory?",
        {"{{instance}}": "max by (instance) (openline_gateway_store_full)"},
        help="1 while Redis uses more than OPENLINE_MEMORY_PERCENT of its maxmemory, as each gateway sees it: nothing can be "
        "published, all else goes on. The runbook is redis-memory.",
        steps=((1, "red"),),
    ),
    graph(
        "How busy is it?",
        {
            "CPU {{instance}}": f"{rate('redis_cpu_sys_seconds_total', 'instance')} + {rate('redis_cpu_user_seconds_total', 'instance')}"
        },
        help="Redis executes on one core. Above 70 % publish in batches, run fewer and larger gateways, or give products that "
        "share no channel a Redis each; see docs/deploy/sizing.md.",
        unit="percentunit",
        steps=SHARE,
    ),
    graph(
        "How many commands does it execute?",
        {"{{instance}}": "rate(redis_commands_processed_total[$__rate_interval])"},
        help="Commands a second. A script counts once for itself and once for each command in it.",
        unit="ops",
    ),
    graph(
        "Which commands cost most?",
        {
            "{{cmd}}": "topk(5, sum by (cmd) (rate(redis_commands_duration_seconds_total[$__rate_interval])))"
        },
        help="Seconds of its time a second. evalsha is publishing and looking; hgetall and xrange are large reads.",
        unit="percentunit",
    ),
    graph(
        "How much goes over its network?",
        {
            "in {{instance}}": "rate(redis_net_input_bytes_total[$__rate_interval])",
            "out {{instance}}": "rate(redis_net_output_bytes_total[$__rate_interval])",
        },
        help="Out is what comes in times the number of gateways.",
        unit="Bps",
    ),
    graph(
        "Who is connected to it?",
        {
            "all {{instance}}": "redis_connected_clients",
            "waiting for the bus {{instance}}": "redis_blocked_clients",
        },
        help="Each gateway waits with one connection a partition. Fewer than gateways times partitions: on some the bus has stalled.",
    ),
    graph(
        "Is what it holds safe?",
        {
            "append only file": "redis_aof_last_write_status",
            "its rewrite": "redis_aof_last_bgrewrite_status",
            "snapshot": "redis_rdb_last_bgsave_status",
        },
        help="1 is good. 0: its disk is full or broken, see the runbook redis-not-persisting.",
    ),
    graph(
        "Does it refuse or throw away?",
        {
            "refused connections": "rate(redis_rejected_connections_total[$__rate_interval])",
            "evicted keys": "rate(redis_evicted_keys_total[$__rate_interval])",
        },
        help="Both are always 0. Evicted keys are lost histories: set maxmemory-policy noeviction.",
        unit="cps",
        steps=ANY,
    ),
    graph(
        "How many keys does it hold?",
        {"{{instance}}": 'redis_db_keys{db="db0"}'},
        help="A few for each channel with a history, and for each user and channel that is present.",
    ),
]


_PARTITIONS = [
    graph(
        "Which partition carries the traffic?",
        {
            "partition {{partition}}": "max by (partition) (rate(openline_gateway_bus_entries_total[$__rate_interval]))"
        },
        help="Entries a second; every gateway reads all of them. One much above the others: one busy channel, which no partition "
        "more helps, or two partitions on one server that could be two.",
        unit="cps",
    ),
    graph(
        "Does each partition's bus answer?",
        {"partition {{partition}}": "max by (partition) (openline_gateway_canary_age_seconds)"},
        help="Age of the newest heartbeat that came back, at the gateway that is worst off; about 1 s, 3 s while nothing is sent. One partition rises: its "
        "server, see redis-down and partitions-masterless. All rise on one gateway: that gateway.",
        unit="s",
        steps=((4, "yellow"), (5, "red")),
    ),
    graph(
        "Is any partition read too slowly?",
        {
            "partition {{partition}}": "max by (partition) (openline_gateway_bus_lag_entries)",
            "place lost {{partition}}": rate("openline_gateway_resyncs_total", "partition"),
        },
        help="Entries that the slowest gateway has not read. A place that is lost is a resync: the runbook is bus-overrun.",
        steps=((1000, "red"),),
    ),
    graph(
        "Has a master moved?",
        {
            service: f"max(increase(openline_{service}_broker_master_moves_total[5m]))"
            for service in ("gateway", "publisher")
        },
        help="Failovers, moved slots and promotions of the last 5 minutes. Unplanned ones: see the runbook master-moved.",
        steps=((1e-9, "yellow"),),
    ),
    graph(
        "Is a partition without a master, or nobody there to name it?",
        {
            "partitions without a master": "max(openline_gateway_broker_masterless_partitions)",
            "Sentinels that are silent": "max(openline_gateway_broker_silent_sentinels)",
        },
        help="0 both. What to do is in the runbooks partitions-masterless and sentinels-silent.",
        steps=ANY,
    ),
    graph(
        "Which servers have replicas?",
        {"{{instance}}": "max by (instance) (redis_connected_slaves)"},
        help="Masters have one or more, replicas none. A master with none: if it dies now, its partitions wait until it is back.",
    ),
]
