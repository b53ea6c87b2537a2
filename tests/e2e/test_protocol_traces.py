"""What the logs hold after all this: never a token or a ticket, no traceback, and no error for what a stranger sent."""

from __future__ import annotations

import json
import secrets

from websockets.asyncio.client import connect

from tests.support.event_stream import EventStream
from tests.support.people import People
from tests.support.refused import handshake_refused
from tests.support.stack import Stack
from tests.support.wire import WireClient


async def test_no_log_holds_a_token_or_a_ticket_however_it_came(
    stack: Stack, people: People
) -> None:
    token = await people.minted(f"u-{secrets.token_hex(4)}")
    bearer = {"authorization": f"Bearer {token}"}
    secret = (await people.http.post("/auth/tickets", headers=bearer)).json()["ticket"]
    for query in (f"token={token}", f"since=a:1&token={token}&last=x", f"ticket={secret}"):
        for path in ("/ws", "/ws/rooms/x", "/ws/nowhere", "/sse"):
            await people.http.get(f"{path}?{query}&channel=bad")
    for headers in (bearer, {"cookie": f"openline_token={token}"}):
        await people.http.get("/sse?channel=bad", headers=headers)
        async with connect(people.ws(path="/ws/rooms/a%20b"), additional_headers=headers) as bad:
            await bad.wait_closed()
    await handshake_refused(people.ws(path=f"/ws?token={token}x"))
    asked = {"channel": "public:all", "token": token}
    async with EventStream.open(people.http, "/sse", params=asked) as stream:
        await stream.next("subscribed")
    async with await WireClient.open(people.ws(), token) as client:
        await client.refused("auth", token=await people.token("alice"))
        await client.send({"type": token})
        await client.send({"type": "subscribe", "channel": token})
        await client.call("auth", token=token)
    again = await WireClient.open(people.ws(), auth=False)
    await again.send({"type": "auth", "token": f"{token}x"})
    await again.wait_closed()
    # The end of a token is its signature: the beginning is the same in all of them.
    hidden = [token[-40:], secret, (await people.token("alice"))[-40:]]
    logs = ["auth", "publisher", "gateway-1", "gateway-2", "nginx-access"]
    for name in logs:
        log = stack.log(name)
        assert not [part for part in hidden if part in log], name


def test_gateways_have_logged_no_error_and_no_traceback(stack: Stack) -> None:
    for name in ("gateway-1", "gateway-2"):
        log = stack.log(name)
        assert "Traceback" not in log
        lines = [json.loads(line) for line in log.splitlines()]
        assert not [line for line in lines if line["level"] in ("error", "critical")]
