"""Notifications by topic through the front door: in every form in which they may be sent, and who gets them."""

from __future__ import annotations

import secrets

from tests.support.event_stream import EventStream
from tests.support.people import People
from tests.support.problem_documents import problem
from tests.support.wire import WireClient


def topic() -> str:
    return secrets.token_hex(6)


async def test_sent_counts_every_subscription_of_the_fleet(people: People) -> None:
    name = topic()
    token = await people.token("alice")
    path = f"/notify/{name}"
    assert (await people.call("POST", path, json={"n": 1})).json() == {"sent": 0, "offset": 1}
    plain = await WireClient.open(people.ws(0, f"/ws/notify/{name}?token={token}"), auth=False)
    native = await people.connect("bob", gateway=1)
    await native.subscribe(f"notify:{name}")
    query = {"channel": f"notify:{name}", "token": token}
    async with EventStream.open(people.http, "/sse", params=query) as stream:
        await stream.next("subscribed")
        await people.counted(f"notify:{name}", 3)
        assert (await people.call("POST", path, json={"n": 2})).json() == {"sent": 3, "offset": 2}
        assert (await plain.expect())["n"] == 2
        assert (await native.message())["data"]["n"] == 2
        assert (await stream.next("message")).data["data"]["n"] == 2
    await native.vanish()
    await people.counted(f"notify:{name}", 1)
    assert (await people.call("POST", path, json={"n": 3})).json()["sent"] == 1
    await plain.close()


async def test_a_bad_topic_is_named(people: People) -> None:
    for name in ("a%2Fb", "a/b", "a%20b", "x" * 201, ""):
        problem(await people.call("POST", f"/notify/{name}", json={}), 400, "bad_request")
