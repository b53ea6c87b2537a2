"""What a run of the load may be told beyond Locust's own options; each as an argument or a variable LOAD_..."""

from __future__ import annotations

from locust.argument_parser import LocustArgumentParser

from loadtest.swarm.numbers import positive, whole

SHAPES = ("steady", "ramp", "spike", "soak")
_KINDS = {int: whole, float: positive}


def add(parser: LocustArgumentParser) -> None:
    """Add them to Locust's, for the command line and the web page."""
    group = parser.add_argument_group("Openline")

    def option(name: str, usual: object, text: str, **more: object) -> None:
        variable = "LOAD_" + name.upper().replace("-", "_")
        kind = {"type": _KINDS[type(usual)]} if type(usual) in _KINDS else {}
        action = group.add_argument(
            f"--{name}",
            default=usual,
            env_var=variable,
            help=f"{text} [{variable}; {usual}]"
            if usual not in (None, "")
            else f"{text} [{variable}]",
            **{
                **kind,
                **{key: value for key, value in more.items() if key in ("choices", "type")},
            },
        )
        for key in ("include_in_web_ui", "is_secret"):
            setattr(action, key, more.get(key, key == "include_in_web_ui"))

    option("client-id", "", "client that publishes and mints tokens; else that of var/run.json")
    option("client-secret", "", "its secret", include_in_web_ui=False)
    option("client-secret-file", "", "a file with its secret", include_in_web_ui=False)
    option("shape", "steady", "how the number of users moves", choices=SHAPES)
    option("rooms", 20, "rooms that chatters and those who come back share")
    option("topics", 5, "topics of notifications")
    option("feeds", 2, "high-rate feeds")
    option("chat-every", 20.0, "seconds between two messages of a chatter, on average")
    option("notify-rate", 1.0, "notifications a second of each publisher")
    option("feed-rate", 20.0, "messages a second of each feed")
    option("storm-every", 20.0, "seconds between two moments at which those who come back all drop")
    option("storm-away", 2.0, "seconds until they come back, all at the same moment", type=float)
    option("payload", 128, "bytes of a message's data")
    option(
        "slo-p99",
        500.0,
        "milliseconds from publish to delivery that 99 of 100 may take, else the run fails",
    )
    option(
        "slo-errors",
        0.001,
        "share of requests that may fail, else the run fails; gaps never may",
        type=float,
    )
    option("report", "", "folder for report.md and report.csv")
