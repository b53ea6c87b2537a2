"""The auth service as a process, with a real database and a real Redis."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import stat
import time

import httpx2
import jwt
import pytest
from redis.asyncio import Redis

from services.kernel.ops.settings import Common
from services.kernel.redis.client import Client
from services.kernel.redis.connections import Dial
from services.kernel.tokens import trust
from services.kernel.tokens.revocations_redis import RedisRevocations
from services.kernel.tokens.tickets_redis import RedisTickets
from tests.support.auth_service import ISSUER, AuthService
from tests.support.redis_server import start_redis
from tests.support.revocation_record import whole
from tests.support.waiting import wait_until

EVERYTHING = "publish read manage tokens"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    with start_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("auth")


@pytest.fixture(scope="module")
def auth(folder, redis_server):
    """As `make run` has it: registration open, password grant on; rates lifted for the tests."""
    with AuthService(
        folder,
        redis_server.url,
        OPENLINE_AUTH_REGISTRATION="open",
        OPENLINE_AUTH_PASSWORD_GRANT="on",
        OPENLINE_LIMITS="off",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def strict(auth, folder, redis_server):
    """A second instance over the same data, with the defaults."""
    with AuthService(folder, redis_server.url) as running:
        yield running


@pytest.fixture(scope="module")
def http(auth):
    with httpx2.Client(base_url=auth.url, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def boss(auth):
    """A client that holds every scope, as (id, secret)."""
    made = auth.add("add-client", "boss", "--scope", EVERYTHING)
    return made["client_id"], made["client_secret"]


@pytest.fixture(scope="module")
def reader(auth):
    made = auth.add(
        "add-client", "reader", "--scope", "read", "--channels", '{"room:*": ["history"]}'
    )
    return made["client_id"], made["client_secret"]


@pytest.fixture(scope="module")
def alice(auth):
    made = auth.add("add-user", "alice")
    return made["username"], made["password"]


@pytest.fixture
async def redis(redis_server):
    client = Redis.from_url(redis_server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def store(redis_server):
    client = Client(Dial(redis_server.url))
    yield client
    await client.close()


def token(http, **form):
    auth = form.pop("auth", None)
    return http.post("/auth/token", data=form, auth=auth)


def bearer(http, client, **form):
    answer = token(http, grant_type="client_credentials", auth=client, **form)
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


def login(http, user, **form):
    answer = token(http, grant_type="password", username=user[0], password=user[1], **form)
    assert answer.status_code == 200, answer.text
    return answer.json()


def content(text):
    return jwt.decode(text, options={"verify_signature": False})


def error(answer, status, name):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["error"] == name
    assert answer.json()["error_description"]


def problem(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    return answer.json()["detail"]


# --- clients


def test_a_client_gets_all_that_it_holds_when_it_asks_for_no_scope(http, boss):
    answer = token(http, grant_type="client_credentials", auth=boss)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert set(body["scope"].split()) == set(EVERYTHING.split())
    assert "refresh_token" not in body
    claims = content(body["access_token"])
    assert claims["sub"] == "client:boss"
    assert claims["client_id"] == "boss"
    assert (claims["iss"], claims["aud"]) == (ISSUER, "openline")
    assert claims["exp"] - claims["iat"] == body["expires_in"] == 3600
    assert claims["jti"]


def test_a_client_may_send_its_secret_in_the_form_and_ask_for_less(http, boss):
    answer = token(
        http,
        grant_type="client_credentials",
        client_id=boss[0],
        client_secret=boss[1],
        scope="read publish",
    )
    assert set(answer.json()["scope"].split()) == {"read", "publish"}


def test_the_channels_of_a_client_are_in_its_token(http, reader):
    found = token(http, grant_type="client_credentials", auth=reader).json()
    assert content(found["access_token"])["channels"] == {"room:*": ["history"]}


def test_a_scope_that_is_not_held_is_refused(http, reader):
    for scope in ("manage", "read manage", "x", "  "):
        answer = token(http, grant_type="client_credentials", auth=reader, scope=scope)
        error(answer, 400, "invalid_scope")


def test_a_wrong_secret_in_the_form_is_challenged_too(http, boss):
    for form in (
        {"client_id": "boss", "client_secret": "x" * 43},
        {"client_id": "nobody", "client_secret": boss[1]},
    ):
        answer = token(http, grant_type="client_credentials", **form)
        error(answer, 401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("header", ["Basic", "Basic /w==", "Digest x", "x"])
def test_another_header_than_that_of_a_client_is_challenged(http, header):
    form = {"grant_type": "client_credentials"}
    answer = http.post("/auth/token", data=form, headers={"authorization": header})
    error(answer, 401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


def test_a_wrong_client_is_challenged(http, boss):
    for client in (("boss", "x" * 43), ("nobody", boss[1]), ("", "")):
        answer = token(http, grant_type="client_credentials", auth=client)
        error(answer, 401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("body", "headers", "status", "name"),
    [
        (b"", FORM, 400, "invalid_request"),
        (b"grant_type=", FORM, 400, "invalid_request"),
        (b"grant_type=implicit", FORM, 400, "unsupported_grant_type"),
        (b"grant_type=password&grant_type=password", FORM, 400, "invalid_request"),
        (b"grant_type=password&username=a", FORM, 400, "invalid_request"),
        (b"grant_type=password&username=a%00b&password=x", FORM, 400, "invalid_grant"),
        (b"grant_type=refresh_token", FORM, 400, "invalid_request"),
        (b"grant_type=refresh_token&refresh_token=x", FORM, 400, "invalid_grant"),
        (b"grant_type=client_credentials", FORM, 401, "invalid_client"),
        (b"grant_type=client_credentials&client_id=boss", FORM, 401, "invalid_client"),
        (b"grant_type=password&username=%FF&password=x", FORM, 400, "invalid_request"),
        ("grant_type=é".encode(), FORM, 400, "invalid_request"),
        (b"&".join(b"a%d=" % n for n in range(40)), FORM, 400, "invalid_request"),
        (
            b'{"grant_type":"password"}',
            {"content-type": "application/json"},
            400,
            "invalid_request",
        ),
        (b"grant_type=password", {}, 400, "invalid_request"),
        (b"grant_type=password&x=" + b"x" * 70_000, FORM, 413, "invalid_request"),
        (b"x=" + b"x" * 3_000_000, FORM, 413, "invalid_request"),
        (b"grant_type=password", {**FORM, "authorization": "Basic %%%"}, 401, "invalid_client"),
        (
            b"grant_type=password",
            {**FORM, "authorization": "Basic Ym9zcw=="},
            401,
            "invalid_client",
        ),
        (b"grant_type=password", {**FORM, "authorization": "Bearer x"}, 401, "invalid_client"),
        (
            b"grant_type=client_credentials&client_secret=x",
            {**FORM, "authorization": "Basic Ym9zczp4"},
            400,
            "invalid_request",
        ),
        (
            b"grant_type=client_credentials&client_id=other",
            {**FORM, "authorization": "Basic Ym9zczp4"},
            400,
            "invalid_request",
        ),
    ],
)
def test_a_bad_token_request_gets_the_error_of_the_standard(http, body, headers, status, name):
    error(http.post("/auth/token", content=body, headers=headers), status, name)


# --- users


def test_a_user_logs_in_and_every_verifier_accepts_the_token(http, auth, alice):
    found = login(http, alice)
    assert found["scope"] == ""
    claims = asyncio.run(_verified(auth, found["access_token"]))
    assert (claims.sub, claims.scope, claims.client) == ("alice", frozenset(), None)


async def _verified(auth, text):
    settings = Common(
        public_url=ISSUER, issuers=(ISSUER,), jwks_urls=(f"{auth.url}/auth/jwks.json",)
    )
    built = trust.of(settings)
    async with built.remote:
        return await built.verifier.verify(text, time.time())


def test_an_unknown_user_and_a_wrong_password_get_one_answer(http, alice):
    wrong = token(http, grant_type="password", username="alice", password="wrong-password")
    unknown = token(http, grant_type="password", username="nobody", password="wrong-password")
    error(wrong, 400, "invalid_grant")
    assert wrong.json() == unknown.json()
    error(token(http, grant_type="password", username="\0", password="\0"), 400, "invalid_grant")


def test_a_refresh_token_is_good_once_and_its_reuse_ends_the_family(http, alice, boss):
    first = login(http, alice)
    second = token(http, grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    reused = token(http, grant_type="refresh_token", refresh_token=first["refresh_token"])
    error(reused, 400, "invalid_grant")
    ended = token(http, grant_type="refresh_token", refresh_token=second["refresh_token"])
    error(ended, 400, "invalid_grant")
    for text in (first["access_token"], second["access_token"]):
        seen = http.post("/auth/introspect", data={"token": text}, auth=boss)
        assert seen.json() == {"active": False}


def test_of_refreshes_at_the_same_time_at_most_one_succeeds(auth, http, alice):
    secret = login(http, alice)["refresh_token"]

    async def race():
        async with httpx2.AsyncClient(base_url=auth.url, trust_env=False) as client:
            form = {"grant_type": "refresh_token", "refresh_token": secret}
            return await asyncio.gather(*(client.post("/auth/token", data=form) for _ in range(8)))

    answers = asyncio.run(race())
    assert sum(answer.status_code == 200 for answer in answers) <= 1
    assert {answer.status_code for answer in answers} <= {200, 400}


def test_a_refresh_token_belongs_to_the_client_that_got_it(http, alice, boss, reader):
    secret = login(http, alice, auth=boss)["refresh_token"]
    for other in (None, reader):
        answer = token(http, grant_type="refresh_token", refresh_token=secret, auth=other)
        error(answer, 400, "invalid_grant")
    answer = token(http, grant_type="refresh_token", refresh_token=secret, auth=boss)
    assert answer.status_code == 200
    assert content(answer.json()["access_token"])["client_id"] == "boss"


def test_registration(http):
    body = {"username": "carol", "password": "a fine password"}
    made = http.post("/auth/register", json=body)
    assert (made.status_code, made.json()) == (201, {"user": "carol"})
    problem(http.post("/auth/register", json=body), 409, "conflict")
    assert login(http, ("carol", "a fine password"))


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"json": {"username": "ab", "password": "long enough"}}, 400, "{3,64}"),
        ({"json": {"username": "Dave", "password": "long enough"}}, 400, "username"),
        ({"json": {"username": "client:x", "password": "long enough"}}, 400, "username"),
        ({"json": {"username": "dave\n", "password": "long enough"}}, 400, "username"),
        ({"json": {"username": "dave", "password": "short"}}, 400, "8"),
        ({"json": {"username": "dave", "password": "x" * 129}}, 400, "128"),
        ({"json": {"username": 5, "password": "long enough"}}, 400, "username"),
        ({"json": {"username": "dave"}}, 400, "password"),
        ({"json": {"username": "dave", "password": None}}, 400, "password"),
        ({"json": {"username": "da ve", "password": "long enough"}}, 400, "username"),
        ({"json": {"username": "x" * 65, "password": "long enough"}}, 400, "{3,64}"),
        ({"json": {"username": "dave", "password": "long enough", "sub": "42"}}, 400, "sub"),
        ({"json": []}, 400, "object"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "JSON"),
        ({"content": b"[" * 60_000, "headers": {"content-type": "application/json"}}, 400, ""),
        ({"content": b'"\xff"', "headers": {"content-type": "application/json"}}, 400, ""),
        (
            {
                "content": b'{"username":"dave","password":"long enough \\ud800"}',
                "headers": {"content-type": "application/json"},
            },
            400,
            "",
        ),
        ({"json": {"username": "dave", "password": "x" * 70_000}}, 413, "65536"),
        ({"data": {"username": "dave"}}, 415, "application/json"),
        ({}, 415, "application/json"),
    ],
)
def test_a_bad_registration_says_what_would_be_right(http, sent, status, said):
    answer = http.post("/auth/register", **sent)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


def test_without_being_opened_there_is_no_registration_and_no_password_grant(strict, alice):
    with httpx2.Client(base_url=strict.url, trust_env=False) as http:
        body = {"username": "mallory", "password": "a fine password"}
        assert "closed" in problem(http.post("/auth/register", json=body), 403, "forbidden")
        answer = token(http, grant_type="password", username=alice[0], password=alice[1])
        error(answer, 400, "unsupported_grant_type")
        about = http.get("/.well-known/oauth-authorization-server").json()
        assert about["grant_types_supported"] == ["client_credentials", "refresh_token"]


def test_logins_of_an_address_have_a_rate(folder, redis_server, alice):
    with (
        AuthService(folder, redis_server.url, OPENLINE_AUTH_PASSWORD_GRANT="on") as limited,
        httpx2.Client(base_url=limited.url, trust_env=False) as http,
    ):
        form = {"grant_type": "password", "username": "alice"}  # no password: cheap, and counted
        answers = [http.post("/auth/token", data=form) for _ in range(60)]
        while answers[-1].status_code != 429 and len(answers) < 600:  # some come back meanwhile
            answers.append(http.post("/auth/token", data=form))
        error(answers[-1], 429, "slow_down")
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert sum(answer.status_code == 400 for answer in answers) >= 60
        elsewhere = http.post("/auth/token", data=form, headers={"x-forwarded-for": "192.0.2.7"})
        error(elsewhere, 400, "invalid_request")


# --- connections


def test_a_back_end_mints_a_token_for_its_user(http, boss):
    body = {
        "sub": "42",
        "channels": {"room:*": ["subscribe", "publish"], "notify:orders": ["subscribe"]},
        "info": {"name": "Ada"},
        "ttl": 60,
    }
    answer = http.post("/auth/connect-tokens", json=body, headers=bearer(http, boss))
    assert answer.status_code == 201
    assert answer.json()["expires_in"] == 60
    claims = content(answer.json()["token"])
    assert claims["sub"] == "42"
    assert claims["channels"] == body["channels"]
    assert claims["info"] == {"name": "Ada"}
    assert claims["exp"] - claims["iat"] == 60
    assert "scope" not in claims


def test_a_connect_token_lasts_an_hour_by_default(http, boss):
    answer = http.post("/auth/connect-tokens", json={"sub": "42"}, headers=bearer(http, boss))
    assert answer.json()["expires_in"] == 3600
    assert "channels" not in content(answer.json()["token"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"sub": ""},
        {"sub": "a/b"},
        {"sub": "client:boss"},
        {"sub": "x" * 129},
        {"sub": 42},
        {"sub": "42", "scope": "manage"},
        {"sub": "42", "ttl": 0},
        {"sub": "42", "ttl": 86_401},
        {"sub": "42", "ttl": "60"},
        {"sub": "42", "ttl": 1.5},
        {"sub": "42", "ttl": True},
        {"sub": "42", "ttl": 1e300},
        {"sub": "a b"},
        [],
        {"sub": "42", "channels": []},
        {"sub": "42", "channels": {"room:*": "subscribe"}},
        {"sub": "42", "channels": {"room:*": ["delete"]}},
        {"sub": "42", "channels": {"ro*m:x": ["subscribe"]}},
        {"sub": "42", "channels": {"room lobby": ["subscribe"]}},
        {"sub": "42", "channels": {"*room": ["subscribe"]}},
        {"sub": "42", "channels": {"room:*:x": ["subscribe"]}},
        {"sub": "42", "channels": {f"room:{n}": ["subscribe"] for n in range(101)}},
        {"sub": "42", "info": "x" * 4095},
        {"sub": "42", "info": 2**70},
        {"sub": "42", "info": json.loads("[" * 17 + "]" * 17)},
    ],
)
def test_a_bad_connect_token_is_refused(http, boss, body):
    answer = http.post("/auth/connect-tokens", json=body, headers=bearer(http, boss))
    assert problem(answer, 400, "bad_request")


@pytest.mark.parametrize(
    "info", ["x" * 4094, json.loads("[" * 16 + "]" * 16)], ids=["size", "depth"]
)
def test_the_largest_info_is_in_the_token(http, boss, info):
    body = {"sub": "42", "info": info}
    answer = http.post("/auth/connect-tokens", json=body, headers=bearer(http, boss))
    assert answer.status_code == 201, answer.text
    assert content(answer.json()["token"])["info"] == info


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b'{"sub":',
        b'{"sub":"42"} {}',
        b"{'sub':'42'}",
        b'{"sub":"\xff"}',
        b'{"sub":"42","info":NaN}',
        b'{"sub":"42","info":"\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[" * 60_000,
        b'{"sub":"42","info":' + b"[" * 60_000,
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_connect_token_asked_for_in_no_json_is_refused(http, boss, text):
    headers = {**bearer(http, boss), "content-type": "application/json"}
    answer = http.post("/auth/connect-tokens", content=text, headers=headers)
    assert problem(answer, 400, "bad_request")


def test_a_misspelt_member_is_refused_naming_the_nearest(http, boss):
    minting = bearer(http, boss)
    for path, body, nearest, headers in (
        ("/auth/connect-tokens", {"sub": "42", "chanels": {}}, "channels", minting),
        ("/auth/connect-tokens", {"sub": "42", "expires_in": 60}, "info", minting),
        ("/auth/register", {"user": "bob", "password": "x" * 12}, "username", {}),
    ):
        detail = problem(http.post(path, json=body, headers=headers), 400, "bad_request")
        assert f"the nearest is {nearest!r}" in detail, detail


@pytest.fixture(scope="module")
def limited(auth):
    channels = '{"room:*": ["subscribe"], "notify:a": ["subscribe"]}'
    made = auth.add("add-client", "limited", "--scope", "tokens", "--channels", channels)
    return made["client_id"], made["client_secret"]


@pytest.mark.parametrize(
    ("channels", "status"),
    [
        ({"room:*": ["subscribe"]}, 201),
        ({"room:team-*": ["subscribe"], "notify:a": ["subscribe"]}, 201),
        ({}, 201),
        (None, 403),
        ({"*": ["subscribe"]}, 403),
        ({"room:a": ["subscribe", "publish"]}, 403),
        ({"notify:a*": ["subscribe"]}, 403),
        ({"room:a": ["subscribe"], "live:a": ["subscribe"]}, 403),
    ],
)
def test_a_client_that_is_limited_to_channels_mints_nothing_beyond_them(
    http, limited, channels, status
):
    body = {"sub": "42", "channels": channels}
    answer = http.post("/auth/connect-tokens", json=body, headers=bearer(http, limited))
    assert answer.status_code == status, answer.text
    if status == 403:
        assert "channels" in problem(answer, 403, "forbidden")


@pytest.mark.parametrize(
    ("personal", "owned"),
    [
        (None, False),
        ({"user:42": ["subscribe", "presence", "history"]}, True),
        ({"user:*": ["subscribe", "presence", "history"]}, True),
        ({"user:42": ["subscribe"]}, False),
        ({"user:4*": ["subscribe", "presence", "history"], "user:x": ["history"]}, True),
    ],
)
def test_what_a_limited_client_mints_owns_a_personal_channel_only_within_its_channels(
    http, auth, personal, owned
):
    name = f"limited-{secrets.token_hex(4)}"
    channels = {"room:*": ["subscribe"], **(personal or {})}
    made = auth.add("add-client", name, "--scope", "tokens", "--channels", json.dumps(channels))
    headers = bearer(http, (made["client_id"], made["client_secret"]))
    answer = http.post("/auth/connect-tokens", json={"sub": "42", "channels": {}}, headers=headers)
    assert content(answer.json()["token"]).get("openline_personal", True) is owned


def test_a_limited_client_with_manage_rotates_no_keys_and_revokes_only_its_own(http, auth, boss):
    name = f"limited-{secrets.token_hex(4)}"
    made = auth.add(
        "add-client", name, "--scope", "manage", "--channels", '{"room:*": ["subscribe"]}'
    )
    client = made["client_id"], made["client_secret"]
    answer = http.post("/auth/keys/rotate", headers=bearer(http, client))
    assert "rotating keys" in problem(answer, 403, "forbidden")
    theirs = bearer(http, boss)["authorization"].removeprefix("Bearer ")
    answer = http.post("/auth/revoke", data={"token": theirs}, auth=client)
    error(answer, 400, "unauthorized_client")
    answer = http.post("/auth/introspect", data={"token": theirs}, auth=client)
    assert answer.json() == {"active": False}
    mine = bearer(http, client)["authorization"].removeprefix("Bearer ")
    assert http.post("/auth/revoke", data={"token": mine}, auth=client).status_code == 200


def test_connect_tokens_need_the_scope_and_an_administrative_network(http, boss, reader, alice):
    body = {"sub": "42"}
    problem(http.post("/auth/connect-tokens", json=body), 401, "unauthorized")
    headers = bearer(http, reader)
    detail = problem(
        http.post("/auth/connect-tokens", json=body, headers=headers), 403, "forbidden"
    )
    assert "tokens" in detail
    headers = {"authorization": f"Bearer {login(http, alice)['access_token']}"}
    problem(http.post("/auth/connect-tokens", json=body, headers=headers), 403, "forbidden")
    headers = bearer(http, boss)
    problem(http.post("/auth/connect-tokens", data=body, headers=headers), 415, "bad_request")
    far = {**bearer(http, boss), "x-forwarded-for": "198.51.100.7"}
    detail = problem(http.post("/auth/connect-tokens", json=body, headers=far), 403, "forbidden")
    assert "OPENLINE_ADMIN_NETWORKS" in detail


async def test_a_ticket_stands_for_its_token_once(http, alice, store):
    access = login(http, alice)["access_token"]
    answer = http.post("/auth/tickets", headers={"authorization": f"Bearer {access}"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    ticket = answer.json()["ticket"]
    assert await RedisTickets(store).redeem(ticket) == access
    assert await RedisTickets(store).redeem(ticket) is None


def test_tickets_need_a_valid_token(http, alice):
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic eDp5"}):
        answer = http.post("/auth/tickets", headers=headers)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


# --- revoking and looking


async def test_a_revoked_token_is_recorded_and_no_longer_accepted(http, boss, redis, store):
    headers = bearer(http, boss)
    text = headers["authorization"].removeprefix("Bearer ")
    seen = http.post("/auth/introspect", data={"token": text}, auth=boss).json()
    assert seen["active"]
    assert (seen["sub"], seen["client_id"], seen["token_type"]) == ("client:boss", "boss", "Bearer")
    answer = http.post("/auth/revoke", data={"token": text}, auth=boss)
    assert (answer.status_code, answer.content) == (200, b"")
    seen = http.post("/auth/introspect", data={"token": text}, auth=boss).json()
    assert seen == {"active": False}
    problem(http.post("/auth/tickets", headers=headers), 401, "unauthorized")
    revoked = await whole(RedisRevocations(store), time.time())
    assert len(revoked) >= 1
    assert await redis.zscore("ol:{p0}:revoked", f"jti:{content(text)['jti']}")
    entries = await redis.xrevrange("ol:{p0}:bus", count=1)
    assert content(text)["jti"] in str(entries), "the gateways were told at once"


def test_a_revoked_refresh_token_ends_its_access_token_too(http, alice, boss):
    found = login(http, alice)
    seen = http.post("/auth/introspect", data={"token": found["refresh_token"]}, auth=boss).json()
    assert (seen["active"], seen["token_type"]) == (True, "refresh_token")
    assert http.post("/auth/revoke", data={"token": found["refresh_token"]}, auth=boss).is_success
    for text in (found["refresh_token"], found["access_token"]):
        seen = http.post("/auth/introspect", data={"token": text}, auth=boss).json()
        assert seen == {"active": False}


def test_tokens_of_others_need_the_scope_manage(http, alice, reader):
    access = login(http, alice)["access_token"]
    answer = http.post("/auth/introspect", data={"token": access}, auth=reader)
    assert answer.json() == {"active": False}
    error(
        http.post("/auth/revoke", data={"token": access}, auth=reader), 400, "unauthorized_client"
    )
    own = bearer(http, reader)["authorization"].removeprefix("Bearer ")
    assert http.post("/auth/introspect", data={"token": own}, auth=reader).json()["active"]


def test_revoking_and_introspecting_refuse_as_the_standards_say(http, boss):
    for path in ("/auth/revoke", "/auth/introspect"):
        error(http.post(path, data={"token": "x"}), 401, "invalid_client")
        error(http.post(path, data={"x": "x"}, auth=boss), 400, "invalid_request")
        error(http.post(path, json={"token": "x"}, auth=boss), 400, "invalid_request")
        error(http.post(path, auth=boss), 400, "invalid_request")
        error(http.post(path, content=b"", headers=FORM, auth=boss), 400, "invalid_request")
        error(http.post(path, content=b"token=x", auth=boss), 400, "invalid_request")
        error(
            http.post(path, content=b"token=%FF", headers=FORM, auth=boss), 400, "invalid_request"
        )
        for header in ("Basic", "Basic %%%", "Basic /w==", "Bearer x", "Digest x", "x"):
            answer = http.post(path, data={"token": "x"}, headers={"authorization": header})
            error(answer, 401, "invalid_client")
        error(http.post(path, data={"token": "x" * 70_000}, auth=boss), 413, "invalid_request")
    assert http.post("/auth/revoke", data={"token": "unknown"}, auth=boss).status_code == 200
    seen = http.post("/auth/introspect", data={"token": "unknown"}, auth=boss)
    assert seen.json() == {"active": False}
    far = {"x-forwarded-for": "198.51.100.7"}
    answer = http.post("/auth/introspect", data={"token": "x"}, auth=boss, headers=far)
    error(answer, 403, "access_denied")


def test_disabling_a_user_ends_logins_refreshes_and_tokens(http, auth, boss):
    made = auth.add("add-user", "eve")
    found = login(http, ("eve", made["password"]))
    assert auth.admin("disable", "user", "eve").returncode == 0
    answer = token(http, grant_type="password", username="eve", password=made["password"])
    error(answer, 400, "invalid_grant")
    answer = token(http, grant_type="refresh_token", refresh_token=found["refresh_token"])
    error(answer, 400, "invalid_grant")

    def seen():
        form = {"token": found["access_token"]}
        return http.post("/auth/introspect", data=form, auth=boss).json()

    wait_until(lambda: not seen()["active"], timeout=15)  # another process revoked
    assert seen() == {"active": False}


# --- keys


def test_a_rotated_key_signs_on_every_instance_and_old_tokens_stay_good(auth, strict, http, boss):
    old = token(http, grant_type="client_credentials", auth=boss).json()["access_token"]
    before = {key["kid"] for key in http.get("/auth/jwks.json").json()["keys"]}
    answer = http.post("/auth/keys/rotate", headers=bearer(http, boss))
    assert answer.status_code == 200
    assert answer.json()["kid"] in before, "the next key was published before it signs"
    with httpx2.Client(base_url=strict.url, trust_env=False) as other:
        new = token(other, grant_type="client_credentials", auth=boss).json()["access_token"]
    assert jwt.get_unverified_header(new)["kid"] == answer.json()["kid"]
    assert jwt.get_unverified_header(old)["kid"] != answer.json()["kid"]
    for text in (old, new):
        assert asyncio.run(_verified(auth, text)).sub == "client:boss"


def test_rotating_needs_the_scope_manage(http, reader, boss, alice):
    problem(http.post("/auth/keys/rotate"), 401, "unauthorized")
    user = {"authorization": f"Bearer {login(http, alice)['access_token']}"}
    others = bearer(http, boss, scope="publish read tokens")
    for headers in (bearer(http, reader), user, others):
        problem(http.post("/auth/keys/rotate", headers=headers), 403, "forbidden")
    far = {**bearer(http, boss), "x-forwarded-for": "198.51.100.7"}
    problem(http.post("/auth/keys/rotate", headers=far), 403, "forbidden")


def test_private_things_are_private(auth, folder, http):
    for path in (folder / "keys" / "keyring.json", folder / "auth.db"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = http.get("/auth/jwks.json")
    assert "max-age" in keys.headers["cache-control"]
    assert all("d" not in key for key in keys.json()["keys"])


def test_metadata_names_the_front_door(http):
    about = http.get("/.well-known/oauth-authorization-server").json()
    assert about["issuer"] == ISSUER
    assert about["token_endpoint"] == f"{ISSUER}/auth/token"
    assert "password" in about["grant_types_supported"]


@pytest.mark.parametrize("algorithm", ["ES256", "HS256"])  # RS256: tests/e2e/test_http_settings.py
def test_other_algorithms_by_configuration(tmp_path, redis_server, algorithm):
    with AuthService(
        tmp_path,
        redis_server.url,
        OPENLINE_AUTH_ALGORITHM=algorithm,
        OPENLINE_HS256_SECRET="s" * 32,
    ) as auth:
        made = auth.add("add-client", "boss", "--scope", EVERYTHING)
        with httpx2.Client(base_url=auth.url, trust_env=False) as http:
            headers = bearer(http, (made["client_id"], made["client_secret"]))
            assert jwt.get_unverified_header(headers["authorization"][7:])["alg"] == algorithm
            assert http.post("/auth/tickets", headers=headers).status_code == 200
            rotated = http.post("/auth/keys/rotate", headers=headers).status_code
            assert rotated == (409 if algorithm == "HS256" else 200)


# --- operation


def test_nothing_secret_is_logged(auth, http, boss, alice):
    found = login(http, alice)
    headers = bearer(http, boss)
    http.post("/auth/introspect", data={"token": found["access_token"]}, auth=boss)
    http.post("/auth/tickets", headers=headers)
    log = auth.log.read_text()
    assert "token_issued" in log
    assert "request_id" in log
    secrets = [boss[1], alice[1], *found.values(), headers["authorization"][7:]]
    for secret in (text for text in secrets if isinstance(text, str) and len(text) > 8):
        assert secret not in log
    assert "Traceback" not in log


def test_metrics_count_tokens_and_failures(http, boss):
    bearer(http, boss)
    token(http, grant_type="implicit")
    text = http.get("/metrics").text
    assert 'openline_auth_tokens_total{grant="client_credentials"}' in text
    assert 'openline_auth_failures_total{error="unsupported_grant_type"}' in text
    assert "openline_auth_hash_seconds_bucket" in text


def test_without_redis_logins_work_and_tickets_say_unavailable(tmp_path):
    with start_redis(tmp_path) as server, AuthService(tmp_path, server.url) as auth:
        made = auth.add("add-client", "boss", "--scope", EVERYTHING)
        client = (made["client_id"], made["client_secret"])
        server.stop()
        with httpx2.Client(base_url=auth.url, trust_env=False) as http:
            headers = bearer(http, client)
            problem(http.post("/auth/tickets", headers=headers), 503, "unavailable")
            text = headers["authorization"][7:]
            answer = http.post("/auth/revoke", data={"token": text}, auth=client)
            error(answer, 503, "temporarily_unavailable")
            assert answer.headers["retry-after"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPENLINE_DATABASE_URL", "postgresql://127.0.0.1:1/none"),
        ("OPENLINE_DATABASE_URL", "sqlite:////proc/none/auth.db"),
        ("OPENLINE_AUTH_KEYS", "/proc/none"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(tmp_path, variable, value):
    with pytest.raises(RuntimeError) as caught:
        AuthService(tmp_path, "redis://127.0.0.1:1/0", **{variable: value})
    lines = [line for line in str(caught.value).splitlines() if line]
    assert len(lines) == 1
    assert re.findall(r"OPENLINE_\w+", lines[0]) == [variable]


@pytest.mark.parametrize("text", ["", "[]", '{"keys":[{"kid":"a"}]}'])
def test_a_keyring_that_cannot_be_read_stops_the_start_with_one_line(tmp_path, text):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "keyring.json").write_text(text)
    with pytest.raises(RuntimeError) as caught:
        AuthService(tmp_path, "redis://127.0.0.1:1/0", OPENLINE_AUTH_KEYS=str(folder))
    (line,) = [line for line in str(caught.value).splitlines() if line]
    assert f"OPENLINE_AUTH_KEYS: {folder}/keyring.json is not a keyring" in line
    assert (folder / "keyring.json").read_text() == text
