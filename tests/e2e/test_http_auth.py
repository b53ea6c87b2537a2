"""Users, clients and their tokens through the front door, and what the gateways and the publisher make of them."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import httpx2
import jwt
import pytest

from tests.support.api_clients import add_client, administer, demo_client, token_of
from tests.support.event_stream import PATIENCE, EventStream
from tests.support.people import People
from tests.support.problem_documents import oauth_error, problem
from tests.support.refused import handshake_refused
from tests.support.stack import Stack
from tests.support.wire import WireClient

PASSWORD = "correct horse"


def name() -> str:
    return f"u-{secrets.token_hex(4)}"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def payload(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def register(people: People, username: str) -> None:
    answer = await people.http.post(
        "/auth/register", json={"username": username, "password": PASSWORD}
    )
    assert (answer.status_code, answer.json()) == (201, {"user": username})


async def grant(people: People, **form: str) -> httpx2.Response:
    return await people.http.post("/auth/token", data=form)


async def granted(people: People, **form: str) -> dict[str, Any]:
    answer = await grant(people, **form)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def tell(people: People, path: str, token: str) -> httpx2.Response:
    return await people.http.post(
        f"/auth/{path}", data={"token": token}, auth=demo_client(people.run)
    )


# ------------------------------------------------------------------------------------------------------ registration


async def test_who_registers_can_log_in_and_is_its_username_everywhere(people: People) -> None:
    user = name()
    await register(people, user)
    again = {"username": user, "password": "another one"}
    problem(await people.http.post("/auth/register", json=again), 409, "conflict")
    body = await granted(people, grant_type="password", username=user, password=PASSWORD)
    assert set(body) == {*("access_token", "token_type", "expires_in", "scope", "refresh_token")}
    assert (body["token_type"], body["scope"]) == ("Bearer", "")
    claims = payload(body["access_token"])
    assert (claims["iss"], claims["aud"]) == (people.run["front_door"], "openline")
    assert (claims["sub"], claims["exp"] - claims["iat"]) == (user, body["expires_in"])
    assert claims["jti"]
    async with await WireClient.open(people.ws(), body["access_token"]) as client:
        assert client.seen[0]["user"] == user
        assert f"user:{user}" in client.seen[0]["channels"]


# ------------------------------------------------------------------------------------------------------ token endpoint


async def test_a_client_gets_all_that_it_holds_unless_it_asks_for_less(people: People) -> None:
    client = demo_client(people.run)
    answer = await people.http.post(
        "/auth/token", data={"grant_type": "client_credentials"}, auth=client
    )
    body = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert set(body["scope"].split()) == {"publish", "read", "manage", "tokens"}
    assert payload(body["access_token"])["sub"] == f"client:{client[0]}"
    form = {"client_id": client[0], "client_secret": client[1], "scope": "read publish"}
    less = await granted(people, grant_type="client_credentials", **form)
    assert set(less["scope"].split()) == {"read", "publish"}
    assert set(payload(less["access_token"])["scope"].split()) == {"read", "publish"}


# ------------------------------------------------------------------------------------------------------------- refresh


async def test_a_refresh_token_is_good_once_and_its_reuse_ends_all_that_came_of_it(
    people: People,
) -> None:
    user = name()
    await register(people, user)
    first = await granted(people, grant_type="password", username=user, password=PASSWORD)
    again = {"grant_type": "refresh_token"}
    second = await granted(people, **again, refresh_token=first["refresh_token"])
    assert second["refresh_token"] != first["refresh_token"]
    client = await WireClient.open(people.ws(1), second["access_token"])
    reused = await grant(people, **again, refresh_token=first["refresh_token"])
    oauth_error(reused, 400, "invalid_grant")
    ended = await grant(people, **again, refresh_token=second["refresh_token"])
    oauth_error(ended, 400, "invalid_grant")
    assert (await people.soon(client.wait_closed(), 1.5))[0] == 4005
    ticket = await people.http.post("/auth/tickets", headers=bearer(second["access_token"]))
    problem(ticket, 401, "unauthorized")


async def test_a_refreshed_token_renews_a_live_connection(people: People) -> None:
    user = name()
    await register(people, user)
    first = await granted(people, grant_type="password", username=user, password=PASSWORD)
    async with await WireClient.open(people.ws(), first["access_token"]) as client:
        second = await granted(
            people, grant_type="refresh_token", refresh_token=first["refresh_token"]
        )
        renewed = await client.ok("auth", token=second["access_token"])
        assert renewed["user"] == user
        assert renewed["expires"] >= client.seen[0]["expires"]


# ------------------------------------------------------------------------------------------------------ connect tokens


async def test_a_back_end_mints_tokens_for_its_own_users(people: People) -> None:
    user = name()
    body = {
        "sub": user,
        "channels": {f"notify:{user}-*": ["subscribe"]},
        "info": {"name": "Ünï"},
        "ttl": 60,
    }
    answer = await people.call("POST", "/auth/connect-tokens", json=body)
    assert (answer.status_code, set(answer.json())) == (201, {"token", "expires_in"})
    assert answer.json()["expires_in"] == 60
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()["token"]
    claims = payload(token)
    assert {k: claims[k] for k in ("sub", "channels", "info")} == {
        k: body[k] for k in ("sub", "channels", "info")
    }
    assert (claims["exp"] - claims["iat"], "scope" in claims) == (60, False)
    async with await WireClient.open(people.ws(), token) as client:
        assert set(client.seen[0]["channels"]) >= {f"user:{user}"}
        await client.subscribe(f"notify:{user}-1")
        refused = await client.refused("subscribe", channel="notify:other")
        assert refused["code"] == "forbidden"
    problem(await people.http.get("/v1/nodes", headers=bearer(token)), 403, "forbidden")
    default = await people.call("POST", "/auth/connect-tokens", json={"sub": user})
    assert default.json()["expires_in"] == 3600


async def test_the_longest_token_that_is_minted_is_good_in_every_place(people: People) -> None:
    body: dict[str, Any] = {"sub": "u"}
    body["channels"] = {f"room:{n:03}{'x' * 190}": ["subscribe"] for n in range(55)}
    token = ""
    for pad in range(150, 200):
        body["info"] = "x" * pad
        answer = await people.call("POST", "/auth/connect-tokens", json=body)
        if answer.status_code != 201:
            problem(answer, 422, "limit_exceeded")
            break
        token = answer.json()["token"]
    assert len(token) > 16_380
    answer = await people.http.post("/auth/tickets", headers=bearer(token))
    assert answer.status_code == 200
    for query, headers in (
        (f"?token={token}", {}),
        ("", {"Authorization": f"Bearer {token}"}),
        (f"?ticket={answer.json()['ticket']}", {}),
    ):
        client = await WireClient.open(
            people.ws(path=f"/ws{query}"), auth=False, additional_headers=headers
        )
        assert (await client.expect("connected"))["user"] == "u"
        await client.close()
    problem(await people.http.get("/v1/nodes", headers=bearer(token)), 403, "forbidden")


# ------------------------------------------------------------------------------------------------------------- tickets


@pytest.mark.parametrize("path", ["/ws", "/ws/rooms/lobby", "/ws/notify/orders"])
async def test_a_ticket_is_good_for_one_connection_of_the_whole_fleet(
    people: People, path: str
) -> None:
    for first, second in ((0, 1), (1, 0)):
        answer = await people.http.post(
            "/auth/tickets", headers=bearer(await people.minted("ticketed"))
        )
        assert set(answer.json()) == {"ticket", "expires_in"}
        assert answer.json()["expires_in"] == 30
        query = f"{path}?ticket={answer.json()['ticket']}"
        async with await WireClient.open(people.ws(first, query), auth=False) as client:
            if path == "/ws":
                assert (await client.expect("connected"))["user"] == "ticketed"
        for gateway in (first, second):
            refused = await handshake_refused(people.ws(gateway, query))
            assert refused.status_code == 401


async def test_tickets_need_a_valid_token(people: People) -> None:
    good = await people.token("alice")
    for headers in ({}, bearer("x"), bearer(good[:-8] + "AAAAAAAA"), {"authorization": good}):
        answer = await people.http.post("/auth/tickets", headers=headers)
        problem(answer, 401, "unauthorized")
    short = await people.minted("u", ttl=1)
    await asyncio.sleep(1.1)
    problem(await people.http.post("/auth/tickets", headers=bearer(short)), 401, "unauthorized")


# -------------------------------------------------------------------------------------------------------------- revoke


async def test_a_revoked_user_token_ends_every_kind_of_connection_on_every_gateway(
    people: People,
) -> None:
    user = name()
    token, kept = await people.minted(user), await people.minted(user)
    query = {"channel": "public:all", "token": token}
    lost = [await WireClient.open(people.ws(n), token) for n in (0, 1)]
    lost += [
        await WireClient.open(people.ws(n, f"/ws/rooms/{user}?token={token}"), auth=False)
        for n in (0, 1)
    ]
    async with (
        await WireClient.open(people.ws(0), kept) as still,
        EventStream.open(people.http, "/sse", params=query) as stream,
    ):
        await stream.next("subscribed")

        async def ended() -> None:
            answer = await tell(people, "revoke", token)
            assert (answer.status_code, answer.content) == (200, b"")
            for client in lost:
                assert (await client.wait_closed())[0] == 4005
            async with asyncio.timeout(PATIENCE):
                await stream.ended.wait()

        await people.soon(ended(), 1)
        assert (await still.call("ping"))["type"] == "pong"
    for gateway in (0, 1):
        refused = await handshake_refused(people.ws(gateway, f"/ws?token={token}"))
        assert refused.status_code == 401
    problem(await people.http.post("/auth/tickets", headers=bearer(token)), 401, "unauthorized")
    assert (await tell(people, "introspect", token)).json() == {"active": False}
    assert (await tell(people, "introspect", kept)).json()["active"] is True


async def test_a_revoked_client_token_is_refused_over_http_within_a_second(
    people: People, stack: Stack
) -> None:
    token = token_of(stack, add_client(stack, "read"))
    headers = bearer(token)
    assert (await people.http.get("/v1/channels", headers=headers)).status_code == 200
    assert (await tell(people, "revoke", token)).status_code == 200
    problem(await refused_at_last(people, headers), 401, "unauthorized")


async def refused_at_last(people: People, headers: dict[str, str]) -> httpx2.Response:
    """The first answer to a token that is no longer good. Publishers learn of it within a second."""

    async def refused() -> httpx2.Response:
        while (  # noqa: ASYNC110 - another process learns of it
            answer := await people.http.get("/v1/channels", headers=headers)
        ).is_success:
            await asyncio.sleep(0.05)
        return answer

    async with asyncio.timeout(PATIENCE):
        return await people.soon(refused(), 3)


async def test_a_revocation_outlives_its_gateway(people: People, stack: Stack) -> None:
    token = await people.minted(name())
    await tell(people, "revoke", token)
    stack.kill("gateway-2")
    refused = await handshake_refused(people.ws(1, f"/ws?token={token}"))
    assert refused.status_code == 401


async def test_who_is_disabled_loses_its_connections_and_gets_no_token(
    people: People, stack: Stack
) -> None:
    user = name()
    await register(people, user)
    login = {"grant_type": "password", "username": user, "password": PASSWORD}
    token = (await granted(people, **login))["access_token"]
    clients = [await WireClient.open(people.ws(n), token) for n in (0, 1)]
    api = add_client(stack, "read")
    theirs = token_of(stack, api)
    administer(stack, "disable", "user", user)
    for client in clients:
        assert (await people.soon(client.wait_closed(), 1.5))[0] == 4005
    oauth_error(await grant(people, **login), 400, "invalid_grant")
    administer(stack, "disable", "client", api[0])
    problem(await refused_at_last(people, bearer(theirs)), 401, "unauthorized")
    form = {"grant_type": "client_credentials"}
    answer = await people.http.post("/auth/token", data=form, auth=api)
    oauth_error(answer, 401, "invalid_client")


async def test_a_replaced_password_ends_what_the_old_one_opened(
    people: People, stack: Stack
) -> None:
    user = name()
    await register(people, user)
    login = {"grant_type": "password", "username": user, "password": PASSWORD}
    old = await granted(people, **login)
    async with await WireClient.open(people.ws(0), old["access_token"]) as client:
        made = administer(stack, "add-user", user, "--replace")
        assert (await people.soon(client.wait_closed(), 1.5))[0] == 4005
    refresh = {"grant_type": "refresh_token", "refresh_token": old["refresh_token"]}
    oauth_error(await grant(people, **refresh), 400, "invalid_grant")
    new = await granted(people, **{**login, "password": made["password"]})
    async with await WireClient.open(people.ws(0), new["access_token"]):
        pass


async def test_a_back_ends_user_is_revoked_by_name(people: People) -> None:
    user = name()
    old = await people.minted(user)
    clients = [await WireClient.open(people.ws(n), old) for n in (0, 1)]
    answer = await people.call("POST", f"/v1/users/{user}/revoke")
    assert answer.status_code == 202
    for client in clients:
        assert (await people.soon(client.wait_closed(), 1.5))[0] == 4005
    refused = await handshake_refused(people.ws(1, f"/ws?token={old}"))
    assert refused.status_code == 401
    async with await WireClient.open(people.ws(0), await people.minted(user)):
        pass


async def test_a_user_of_auth_that_is_revoked_by_name_has_to_log_in_again(people: People) -> None:
    user = name()
    await register(people, user)
    login = {"grant_type": "password", "username": user, "password": PASSWORD}
    old = await granted(people, **login)
    answer = await people.call("POST", f"/v1/users/{user}/revoke")
    assert answer.status_code == 202
    refresh = {"grant_type": "refresh_token", "refresh_token": old["refresh_token"]}
    oauth_error(await grant(people, **refresh), 400, "invalid_grant")
    new = await granted(people, **login)
    async with await WireClient.open(people.ws(0), new["access_token"]):
        pass
    await granted(people, **{**refresh, "refresh_token": new["refresh_token"]})


async def test_revoking_what_is_no_token_is_no_error_and_others_tokens_need_manage(
    people: People, stack: Stack
) -> None:
    """RFC 7009 section 2.2."""
    client, demo = add_client(stack, "read"), demo_client(people.run)
    for token in ("nonsense", "a.b.c", "x" * 20_000):
        answer = await people.http.post("/auth/revoke", data={"token": token}, auth=client)
        assert answer.status_code == 200
        answer = await people.http.post("/auth/introspect", data={"token": token}, auth=client)
        assert answer.json() == {"active": False}
    theirs = await people.minted("u")
    answer = await people.http.post("/auth/revoke", data={"token": theirs}, auth=client)
    oauth_error(answer, 400, "unauthorized_client")
    answer = await people.http.post("/auth/introspect", data={"token": theirs}, auth=client)
    assert answer.json() == {"active": False}
    for path in ("revoke", "introspect"):
        answer = await people.http.post(f"/auth/{path}", data={"token": theirs})
        oauth_error(answer, 401, "invalid_client")
        oauth_error(await people.http.post(f"/auth/{path}", auth=demo), 400, "invalid_request")


async def test_introspection_tells_what_is_in_a_token(people: People) -> None:
    user = name()
    token = await people.minted(user, ttl=60)
    answer = await tell(people, "introspect", token)
    claims = payload(token)
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["active"] is True
    for claim in ("iss", "aud", "sub", "exp", "iat", "jti", "client_id"):
        assert body[claim] == claims[claim]
    backend = (await tell(people, "introspect", await people.backend())).json()
    assert set(backend["scope"].split()) == {"publish", "read", "manage", "tokens"}


# ---------------------------------------------------------------------------------------------------------------- keys


async def test_after_a_rotation_old_and_new_tokens_are_good_everywhere(people: People) -> None:
    before = (await people.http.get("/auth/jwks.json")).json()["keys"]
    assert all(key["kty"] == "OKP" and "d" not in key and key["kid"] for key in before)
    old = await people.minted("rotated")
    assert jwt.get_unverified_header(old)["alg"] == "EdDSA"
    answer = await people.call("POST", "/auth/keys/rotate")
    assert answer.status_code == 200
    kid = answer.json()["kid"]
    assert kid in {key["kid"] for key in (await people.http.get("/auth/jwks.json")).json()["keys"]}
    new = await people.minted("rotated")
    assert jwt.get_unverified_header(new)["kid"] == kid != jwt.get_unverified_header(old)["kid"]
    for token in (old, new):
        for gateway in (0, 1):
            async with await WireClient.open(people.ws(gateway), token) as client:
                assert client.seen[0]["user"] == "rotated"
        assert (await people.http.post("/auth/tickets", headers=bearer(token))).is_success
    form = {"grant_type": "client_credentials"}
    fresh = await people.http.post("/auth/token", data=form, auth=demo_client(people.run))
    for token in (await people.backend(), fresh.json()["access_token"]):
        assert (await people.http.get("/v1/nodes", headers=bearer(token))).status_code == 200


async def test_the_metadata_leads_to_every_endpoint(people: People) -> None:
    """RFC 8414."""
    found = (await people.http.get("/.well-known/oauth-authorization-server")).json()
    door = people.run["front_door"]
    assert found["issuer"] == door
    assert found["token_endpoint"] == f"{door}/auth/token"
    assert found["jwks_uri"] == f"{door}/auth/jwks.json"
    assert found["revocation_endpoint"] == f"{door}/auth/revoke"
    assert found["introspection_endpoint"] == f"{door}/auth/introspect"
    assert set(found["grant_types_supported"]) == {
        "client_credentials",
        "refresh_token",
        "password",
    }
    assert set(found["scopes_supported"]) == {"publish", "read", "manage", "tokens"}
    assert (await people.http.get(found["jwks_uri"])).status_code == 200
