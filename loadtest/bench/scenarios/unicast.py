"""Two thousand users, each with messages of their own: what does one message cost from its POST to its reader?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from loadtest.bench import centrifugo
from loadtest.bench.bench import Audience, Bench, Sample, settle
from loadtest.bench.remote import Remote
from loadtest.bench.targets import Target

USERS = 2000
RATE = 1000


class Unicast:
    """Every message goes to `user:<sub>`, which each connection is subscribed to when it opens."""

    name = "unicast"
    title = (
        "2,000 users, 1,000 messages a second in all, each to one of them; published by HTTP one by one on 8 "
        "connections, or 100 in a batch; CPU time of publisher, Redis and gateway a message"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        users = bench.options.people(USERS)
        with ExitStack() as stack:
            feeder = stack.enter_context(Remote("feeder"))
            tokens = bench.stack.tokens(feeder, users)
            audience = Audience(_target(bench, tokens, batch=False), users, stack, sample=1)
            peer = bench.present(partial(centrifugo.users, bench.folder, users), stack)
            if peer is not None:
                peer.feed["connections"] = 8
                theirs = Audience(peer, users, stack, sample=1)
            for number in range(bench.options.rounds):
                if peer is not None:
                    yield Sample(self.name, peer.name, number, _measure(bench, theirs))
                for batch in (False, True):
                    target = _target(bench, tokens, batch=batch)
                    audience.anew(target.feed)
                    values = _measure(bench, audience, together=100 if batch else 1)
                    yield Sample(self.name, target.name, number, values)


def _measure(bench: Bench, audience: Audience, *, together: int = 1) -> dict[str, float]:
    seconds = bench.options.seconds
    drive = {"rate": RATE, "seconds": seconds, "together": together}
    values = audience.measure("steady", readers=1, **drive)
    settle(0.3)
    return values


def _target(bench: Bench, tokens: list[str], *, batch: bool) -> Target:
    stack = bench.stack
    feed = {"kind": "post", **stack.at("publisher"), "headers": stack.bearer()}
    users = range(len(tokens))
    if batch:
        feed |= {"batch": "/v1/messages", "channels": [f"user:u{n}" for n in users]}
    else:
        paths = [f"/v1/channels/user:u{n}/messages" for n in users]
        feed |= {"connections": 8, "paths": paths, "wrap": '{"data":{}}'}
    return Target(
        name="Openline, batches of 100" if batch else "Openline, one by one",
        subscribe={
            **stack.at("gateway"),
            "paths": [f"/ws?token={token}" for token in tokens],
            "joined": '"type":"connected"',
        },
        feed=feed,
        programs=stack.programs("gateway", "redis", "publisher"),
    )
