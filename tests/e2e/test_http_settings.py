"""The HTTP API under other settings than the demo's: strict ones, other algorithms, another issuer, limits reached."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx2
import jwt
import pytest

from deploy.local.ports import free_port
from tests.support.api_clients import add_client, demo_client, token_of
from tests.support.openapi import schemathesis
from tests.support.people import People
from tests.support.problem_documents import oauth_error, problem
from tests.support.stack import Stack
from tests.support.token_issuer import ISSUER, TokenIssuer
from tests.support.wire import WireClient

pytestmark = pytest.mark.slow

SECRET = secrets.token_hex(32)
PUBLIC = "https://openline.test"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What a deployment closes: strangers' registration, passwords, and administration from this machine. HS256."""
    with Stack(
        tmp_path_factory.mktemp("strict"),
        OPENLINE_GATEWAYS="1",
        OPENLINE_AUTH_REGISTRATION="closed",
        OPENLINE_AUTH_PASSWORD_GRANT="off",
        OPENLINE_ADMIN_NETWORKS="10.99.0.0/16",
        OPENLINE_AUTH_ALGORITHM="HS256",
        OPENLINE_HS256_SECRET=SECRET,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as other:
        yield other


@pytest.fixture(scope="module")
def federated(tmp_path_factory: pytest.TempPathFactory, issuer: TokenIssuer) -> Iterator[Stack]:
    """Auth with RS256 behind a public address, and another issuer beside it."""
    stack = Stack(
        tmp_path_factory.mktemp("federated"),
        OPENLINE_GATEWAYS="1",
        OPENLINE_PUBLIC_URL=PUBLIC,
        OPENLINE_AUTH_ALGORITHM="RS256",
        OPENLINE_ISSUERS=f"{PUBLIC},{ISSUER}",
        OPENLINE_AUTH_PORT=str(port := free_port()),
        OPENLINE_JWKS_URLS=f"http://127.0.0.1:{port}/auth/jwks.json,{issuer.url}",
        OPENLINE_SCOPE_ISSUERS=f"{PUBLIC},{ISSUER}",
        OPENLINE_ALLOWED_ORIGINS="https://app.example.org",
    )
    with stack as running:
        yield running


# ---------------------------------------------------------------------------------------------------------- strict


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nodes"),
        ("DELETE", "/v1/channels/room:a/messages"),
        ("POST", "/v1/users/bob/disconnect"),
        ("POST", "/v1/users/bob/subscribe"),
        ("POST", "/v1/users/bob/unsubscribe"),
        ("POST", "/v1/connections/c/disconnect"),
        ("POST", "/auth/keys/rotate"),
        ("POST", "/auth/connect-tokens"),
    ],
)
def test_administration_is_answered_to_its_networks_only(
    strict: Stack, method: str, path: str
) -> None:
    body = {"sub": "u", "channel": "room:a"} if method == "POST" else None
    headers = {**strict.bearer(), "x-forwarded-for": "10.99.0.1", "forwarded": "for=10.99.0.1"}
    answer = httpx2.request(method, strict.url + path, headers=headers, json=body)
    assert "OPENLINE_ADMIN_NETWORKS" in problem(answer, 403, "forbidden")["detail"]


def test_introspection_is_administration_and_revocation_is_not(strict: Stack) -> None:
    client, form = demo_client(strict.run), {"token": "x"}
    answer = httpx2.post(f"{strict.url}/auth/introspect", data=form, auth=client)
    oauth_error(answer, 403, "access_denied")
    assert httpx2.post(f"{strict.url}/auth/revoke", data=form, auth=client).status_code == 200


def test_publishing_and_reading_are_not_administration(strict: Stack) -> None:
    assert strict.publish("room:a", 1)["offset"] == 1
    for path in ("/v1/channels", "/v1/channels/room:a/messages", "/v1/channels/room:a/presence"):
        assert httpx2.get(strict.url + path, headers=strict.bearer()).status_code == 200


def test_registration_is_closed_and_passwords_are_no_grant(strict: Stack) -> None:
    body = {"username": "stranger", "password": "correct horse"}
    problem(httpx2.post(f"{strict.url}/auth/register", json=body), 403, "forbidden")
    form = {"grant_type": "password", **strict.run["users"][0]}
    oauth_error(httpx2.post(f"{strict.url}/auth/token", data=form), 400, "unsupported_grant_type")
    found = httpx2.get(f"{strict.url}/.well-known/oauth-authorization-server").json()
    assert set(found["grant_types_supported"]) == {"client_credentials", "refresh_token"}


async def test_tokens_of_a_shared_secret_are_good_everywhere(strict: Stack) -> None:
    token = strict.client_token()
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="openline")
    forged = jwt.encode(claims, SECRET + "x", algorithm="HS256")
    async with People(strict.run) as people, await WireClient.open(people.ws(), token) as client:
        assert client.seen[0]["user"] == "client:demo"
        assert (await people.http.get("/auth/jwks.json")).json() == {"keys": []}
        answer = await people.http.get("/v1/channels", headers=strict.bearer(forged))
        problem(answer, 401, "unauthorized")


def test_the_logs_of_a_shared_secret_do_not_hold_it(strict: Stack) -> None:
    for log in (strict.var / "logs").iterdir():
        assert SECRET not in log.read_text("utf-8", "replace")


# ------------------------------------------------------------------------------------------- other keys and issuers


async def test_rs256_and_a_rotation_of_its_keys(federated: Stack) -> None:
    client = add_client(federated, "publish manage tokens")
    old = token_of(federated, client)
    assert jwt.get_unverified_header(old)["alg"] == "RS256"
    assert jwt.decode(old, options={"verify_signature": False})["iss"] == PUBLIC
    async with People(federated.run) as people:
        keys = (await people.http.get("/auth/jwks.json")).json()["keys"]
        assert {key["kty"] for key in keys} == {"RSA"}
        rotated = await people.http.post("/auth/keys/rotate", headers=federated.bearer(old))
        assert rotated.status_code == 200
        new = token_of(federated, client)
        assert jwt.get_unverified_header(new)["kid"] == rotated.json()["kid"]
        for token in (old, new):
            answer = await people.http.get("/v1/nodes", headers=federated.bearer(token))
            assert answer.status_code == 200
            async with await WireClient.open(people.ws(), token):
                pass


async def test_another_issuers_tokens_are_accepted_by_configuration(
    federated: Stack, issuer: TokenIssuer
) -> None:
    backend, user = federated.bearer(issuer.token()), issuer.token("dora", scope=None)
    async with People(federated.run) as people:
        path = "/v1/channels/room:a/messages"
        answer = await people.http.post(path, json={"data": 1}, headers=backend)
        assert answer.status_code == 201
        async with await WireClient.open(people.ws(), user) as client:
            assert client.seen[0]["user"] == "dora"
        answer = await people.http.post("/auth/tickets", headers=federated.bearer(user))
        url = people.ws(path=f"/ws?ticket={answer.json()['ticket']}")
        async with await WireClient.open(url, auth=False) as client:
            assert (await client.expect("connected"))["user"] == "dora"
        # Only our own clients mint and administer, whatever scope another issuer writes into its tokens.
        boss = federated.bearer(issuer.token(scope="tokens manage"))
        for call, sent in (("connect-tokens", {"sub": "u"}), ("keys/rotate", {})):
            answer = await people.http.post(f"/auth/{call}", json=sent, headers=boss)
            problem(answer, 401, "unauthorized")


async def test_another_issuers_token_is_revoked_by_who_may_manage(
    federated: Stack, issuer: TokenIssuer
) -> None:
    token = issuer.token("fred", scope=None, client_id="demo")
    manager, other = add_client(federated, "manage"), add_client(federated, "read")
    async with People(federated.run) as people:
        client = await WireClient.open(people.ws(), token)
        answer = await people.http.post("/auth/revoke", data={"token": token}, auth=other)
        assert answer.json()["error"] == "unauthorized_client"
        answer = await people.http.post("/auth/revoke", data={"token": token}, auth=manager)
        assert answer.status_code == 200
        assert (await people.soon(client.wait_closed(), 1.5))[0] == 4005
        nameless = issuer.token("fred", scope=None, jti=None)
        answer = await people.http.post("/auth/revoke", data={"token": nameless}, auth=manager)
        assert "jti" in answer.json()["error_description"]


async def test_a_user_with_scope_read_and_an_empty_claim_reads_its_own_channel_only(
    federated: Stack, issuer: TokenIssuer
) -> None:
    token = issuer.token("erin", scope="read", channels={})
    headers = federated.bearer(token)
    async with People(federated.run) as people, await WireClient.open(people.ws(), token):
        await people.counted("user:erin", 1)
        listed = (await people.http.get("/v1/channels", headers=headers)).json()["channels"]
        assert listed == [{"channel": "user:erin", "subscribers": 1}]
        for channel, status in (("user:erin", 200), ("user:eve", 403), ("public:all", 403)):
            path = f"/v1/channels/{channel}/messages"
            assert (await people.http.get(path, headers=headers)).status_code == status


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.test"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"sub": "a b"},
        {"sub": ""},
        {"sub": None},
        {"sub": 42},
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": 2**33},
        {"channels": ["room:*"]},
        {"channels": {"room:*": ["fly"]}},
    ],
)
def test_a_token_that_says_something_else_is_refused(
    federated: Stack, issuer: TokenIssuer, claims: dict[str, object]
) -> None:
    headers = federated.bearer(issuer.token(**claims))  # type: ignore[arg-type]
    problem(httpx2.get(f"{federated.url}/v1/channels", headers=headers), 401, "unauthorized")
    answer = httpx2.post(f"{federated.url}/auth/tickets", headers=headers)
    problem(answer, 401, "unauthorized")


def test_an_origin_that_is_listed_may_beside_localhost(federated: Stack) -> None:
    for origin in ("https://app.example.org", "http://localhost:1"):
        headers = {"origin": origin, "access-control-request-method": "POST"}
        answer = httpx2.options(f"{federated.url}/v1/messages", headers=headers)
        assert answer.headers["access-control-allow-origin"] == origin
    headers = {"origin": "https://app.example.org:444", "access-control-request-method": "POST"}
    problem(httpx2.options(f"{federated.url}/v1/messages", headers=headers), 400, "bad_request")


# ------------------------------------------------------------------------------------------------- the document


@pytest.mark.timeout(240)
def test_the_document_of_auth_is_true_through_the_front_door(
    federated: Stack, tmp_path: Path
) -> None:
    document = f"{federated.run['auth']}/openapi.json"
    # The front door lets an address make 100 calls of auth a second, and more for a short while.
    token = federated.client_token()
    assert schemathesis(document, federated.url, tmp_path, token=token, rate="90/s") == 9


# ---------------------------------------------------------------------------------------------------------- limits


def test_an_address_may_log_in_or_register_60_times_a_minute(federated: Stack) -> None:
    """Last of this stack's tests: it uses up what the address has."""
    body = {"username": "x"}
    with httpx2.Client(base_url=federated.url) as client:
        # A second gives one more: on a slow machine more than sixty pass before one is refused.
        for n in range(250):
            headers = {"x-forwarded-for": f"10.0.0.{n}"}
            answer = client.post("/auth/register", json=body, headers=headers)
            if answer.status_code != 400:
                break
        assert n > 1
        problem(answer, 429, "rate_limited")
        form = {"grant_type": "password", **federated.run["users"][0]}
        tries = (client.post("/auth/token", data=form) for _ in range(20))
        refused = next(answer for answer in tries if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        oauth_error(refused, 429, "slow_down")
    assert token_of(federated, demo_client(federated.run))
