"""Limits on what a stranger may send: the named error with `retry_after`, or the named close; others notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import Any

from websockets import connect
from websockets.exceptions import ConnectionClosed

from tests.support.event_stream import EventStream
from tests.support.people import People
from tests.support.wire import WireClient


def room() -> str:
    return f"room:{secrets.token_hex(6)}"


async def stranger(people: People, gateway: int = 0) -> WireClient:
    """A connection of a user of its own, since rates are counted by user."""
    token = await people.minted(f"u-{secrets.token_hex(4)}")
    return await WireClient.open(people.ws(gateway), token)


# ------------------------------------------------------------------------------------------------------------- rates


async def test_too_many_commands_are_rate_limited_and_may_come_after_the_wait(
    people: People,
) -> None:
    async with await stranger(people) as client, await people.connect("bob", gateway=0) as bob:
        began = time.monotonic()
        for n in range(600):
            await client.send({"type": "ping", "id": n})
        refusal = await client.expect("error")
        seconds = time.monotonic() - began
        assert refusal["code"] == "rate_limited"
        assert refusal["temporary"] is True
        assert 0 < refusal["retry_after"] < 2
        # Two hundred at once, and fifty for each second that the machine took.
        assert 199 <= refusal["id"] < 202 + 50 * seconds
        assert (await bob.call("ping"))["type"] == "pong"
        await client.expect(where=lambda e: e.get("id") == 599)
        await asyncio.sleep(1)
        assert (await client.call("ping"))["type"] == "pong"


async def test_why_a_message_is_refused_arrives_through_nginx_while_it_is_still_being_sent(
    people: People,
) -> None:
    """Whoever closes with bytes of the other unread resets the connection, and the close frame may be lost: 1006."""
    token = await people.minted(f"u-{secrets.token_hex(4)}")
    url = people.ws(path=f"/ws?token={token}")
    codes = await asyncio.gather(*(code_of_a_large_message(url) for _ in range(40)))
    assert set(codes) == {1009}


async def code_of_a_large_message(url: str) -> int | None:
    async with connect(url) as socket:
        await socket.recv()
        with contextlib.suppress(ConnectionClosed):
            await socket.send("x" * 1_500_000)
            async for _ in socket:
                pass
        return socket.close_code


async def test_a_rate_limited_publish_was_not_stored(people: People) -> None:
    channel = room()
    async with await stranger(people) as client:
        await client.subscribe(channel)
        for n in range(500):
            await client.send({"type": "publish", "id": f"p{n}", "channel": channel, "data": n})
        answers = [
            await client.expect(where=lambda e, n=n: e.get("id") == f"p{n}") for n in range(500)
        ]
        stored = [n for n, answer in enumerate(answers) if answer["type"] == "ack"]
        refused = [answer for answer in answers if answer["type"] == "error"]
        assert refused
        assert {answer["code"] for answer in refused} == {"rate_limited"}
        messages = await client.messages(channel, len(stored))
        assert [message["data"] for message in messages] == stored


async def test_a_users_rate_is_counted_over_its_connections_on_every_gateway(
    people: People,
) -> None:
    token = await people.minted(f"u-{secrets.token_hex(4)}")
    clients = [await WireClient.open(people.ws(n % 2), token) for n in range(8)]
    for _ in range(3):
        for client in clients:
            for _ in range(50):
                await client.send({"type": "ping"})
        await asyncio.sleep(0.6)
    refused = 0
    for client in clients:
        await client.close()
        refused += len([e for e in client.seen if e.get("code") == "rate_limited"])
    # 1,200 commands in two seconds, each connection within its own rate: 400 + 100 a second may pass.
    assert refused > 200


async def passed_at_once(people: People) -> tuple[int, float]:
    """Of 1,520 commands of a user, on four connections to each of two gateways: how many passed, and in what time."""
    token = await people.minted(f"u-{secrets.token_hex(4)}")
    clients = [await WireClient.open(people.ws(n % 2), token) for n in range(8)]
    began = time.monotonic()

    async def hurry(client: WireClient) -> None:
        for n in range(190):
            await client.send({"type": "ping", "id": n})
        for n in range(190):
            await client.expect(where=lambda e, n=n: e.get("id") == n, patience=30)

    await asyncio.gather(*(hurry(client) for client in clients))
    seconds = time.monotonic() - began
    for client in clients:
        await client.close()
    return sum(e["type"] == "pong" for client in clients for e in client.seen), seconds


async def test_a_users_burst_counts_over_the_gateways(people: People) -> None:
    for _ in range(6):
        passed, seconds = await passed_at_once(people)
        # What comes back in that time, and what both gateways take for back between two reports.
        if passed <= 400 + 100 * seconds + 2 * 100 * 0.25:
            return
        await asyncio.sleep(
            1
        )  # gateways that have just started count each other after five seconds
    raise AssertionError(f"{passed} in {seconds:.2f} s")


async def test_a_flood_ends_with_4000_and_others_notice_nothing(people: People) -> None:
    channel = room()
    async with await people.connect("bob", gateway=0) as bob:
        await bob.subscribe(channel)
        flooder = await stranger(people)

        async def flood() -> None:
            with contextlib.suppress(ConnectionClosed):
                for number in range(20_000):
                    await flooder.send({"type": "ping"})
                    if number % 50 == 0:
                        await asyncio.sleep(0)  # or on a busy machine bob would wait for this loop

        flooding = asyncio.create_task(flood())
        while not flooding.done():
            await bob.send({"type": "publish", "channel": channel, "data": 1, "key": None})
            await people.soon(bob.message(channel), 2, beside=1)
            await asyncio.sleep(0.05)
        assert (await flooder.wait_closed())[0] == 4000


# ------------------------------------------------------------------------------------------------------- connections


async def test_a_user_has_at_most_100_connections_over_the_fleet(people: People) -> None:
    user = f"u-{secrets.token_hex(4)}"
    token = await people.minted(user)
    query = f"?token={token}"

    async def opened(number: int) -> WireClient:
        path = "/ws" if number % 3 else "/ws/rooms/full"
        return await WireClient.open(people.ws(number % 2, path + query), auth=False)

    clients = [await opened(n) for n in range(97)]
    for client in clients:
        await client.expect("connected")
    asked = {"channel": "public:all", "token": token}
    async with EventStream.open(people.http, "/sse", params=asked) as stream:
        await stream.next("subscribed")
        clients += [await opened(n) for n in (97, 98)]
        await asyncio.sleep(0.6)
        assert not [client for client in clients if client.closed]
        for gateway in (0, 1):
            one_more = await WireClient.open(people.ws(gateway, "/ws" + query), auth=False)
            code, reason = await one_more.wait_closed()
            assert (code, "100" in reason) == (4104, True)
        assert not [client for client in clients if client.closed]
        assert not stream.ended.is_set()
    listed = (await people.call("GET", "/v1/channels")).json()["channels"]
    assert not [entry for entry in listed if "\x7f" in entry["channel"]]
    await clients.pop().close()
    async with asyncio.timeout(30):  # until the fleet knows that there is a place
        while await (again := await opened(98)).closed_within(1):
            assert again.closed[0] == 4104
    assert again.taken_or_not("connected")
    for client in [again, *clients]:
        await client.vanish()


async def test_a_stream_too_many_is_a_429_that_ends_an_event_source(people: People) -> None:
    token = await people.minted(f"u-{secrets.token_hex(4)}")
    url = people.ws(0, f"/ws?token={token}")
    clients = [await WireClient.open(url, auth=False) for _ in range(100)]
    asked = {"channel": "public:all", "token": token}
    answer = await people.http.get(f"{people.run['gateways'][0]}/sse", params=asked)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert answer.headers["retry-after"]
    for client in clients:
        await client.vanish()


async def test_a_limit_of_connections_is_not_there_for_other_users(people: People) -> None:
    answers: list[Any] = await asyncio.gather(*(stranger(people, gateway=n % 2) for n in range(20)))
    for client in answers:
        assert (await client.call("ping"))["type"] == "pong"
        await client.close()
