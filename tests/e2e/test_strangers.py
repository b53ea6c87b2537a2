"""A caller without a token, with a forged one or a wrong password takes nothing from the others."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import jwt
import pytest

from tests.support.problem_documents import oauth_error, problem
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

FORGED = jwt.encode({"sub": "mallory", "iss": "x"}, secrets.token_hex(32), algorithm="HS256")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system of its own: what an address may try is soon used up here."""
    with Stack(tmp_path_factory.mktemp("strangers"), OPENLINE_GATEWAYS="1") as running:
        yield running


@pytest.fixture
def http(own: Stack) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=own.url, trust_env=False, timeout=30) as client:
        yield client


def login(auth: str, name: str, password: str, address: str) -> httpx2.Response:
    """By auth's own port, whose word for the client's address is taken from this machine."""
    form = {"grant_type": "password", "username": name, "password": password}
    return httpx2.post(f"{auth}/auth/token", data=form, headers={"x-forwarded-for": address})


def password(own: Stack, name: str) -> str:
    return {user["username"]: user["password"] for user in own.run["users"]}[name]


def test_guesses_at_one_account_from_many_addresses_are_counted_together(own: Stack) -> None:
    auth = own.run["auth"]
    at_home = login(auth, "alice", password(own, "alice"), "203.0.113.5")
    assert at_home.status_code == 200
    answers = [login(auth, "alice", f"guess {n}", f"198.51.100.{n % 50}") for n in range(120)]
    assert Counter(answer.status_code for answer in answers) == {400: 10, 429: 110}
    oauth_error(answers[-1], 429, "slow_down")
    assert int(answers[-1].headers["retry-after"]) > 1
    right = login(auth, "alice", password(own, "alice"), "198.51.100.77")
    assert right.status_code == 429, "a right guess must not be told from a wrong one"
    again = login(auth, "alice", password(own, "alice"), "203.0.113.5")
    assert again.status_code == 200, "where the owner logged in before no stranger locks it out"
    assert login(auth, "bob", password(own, "bob"), "198.51.100.1").status_code == 200


@pytest.mark.parametrize(
    ("weak", "why"),
    [
        ("password", "tried first"),
        ("Passw0rd!", "tried first"),
        ("12345678", "row of"),
        ("mallory99", "username"),
        ("abcabcabc", "repeats"),
        ("short", "at least 8 characters"),
    ],
)
def test_weak_passwords_are_refused_with_the_reason(
    http: httpx2.Client, weak: str, why: str
) -> None:
    answer = http.post("/auth/register", json={"username": "mallory", "password": weak})
    assert why in problem(answer, 400, "bad_request")["detail"]


def test_a_login_is_one_record_and_is_refreshed_so_often(own: Stack, http: httpx2.Client) -> None:
    def refresh() -> httpx2.Response:
        form = {"grant_type": "refresh_token", "refresh_token": newest}
        return http.post("/auth/token", data=form)

    form = {"grant_type": "password", "username": "bob", "password": password(own, "bob")}
    newest = http.post("/auth/token", data=form).json()["refresh_token"]
    answers: list[httpx2.Response] = []
    for _ in range(60):
        answers.append(refresh())
        if answers[-1].status_code == 200:
            newest = answers[-1].json()["refresh_token"]
    counted = Counter(answer.status_code for answer in answers)
    assert counted[200] >= 30
    assert counted[429] > 10
    refused = next(answer for answer in answers if answer.status_code == 429)
    oauth_error(refused, 429, "slow_down")
    wait_until(lambda: refresh().status_code == 200, timeout=30)
    with contextlib.closing(sqlite3.connect(own.var / "auth.db")) as database:
        rows = database.execute("SELECT username, count(*) FROM refresh_families GROUP BY username")
        assert dict(rows)["bob"] <= 2, "one for each login"
        assert database.execute("SELECT count(*) FROM refresh_tokens").fetchone() == (0,)


async def test_a_flood_of_forged_tokens_waits_and_back_ends_of_its_address_do_not(
    own: Stack,
) -> None:
    answers: Counter[int] = Counter()
    path = "/v1/channels/room:lobby/messages"

    async def publish(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {token}"}
        return await client.post(path, json={"data": 1}, headers=headers)

    async def flood(client: httpx2.AsyncClient, number: int) -> None:
        for n in range(100):
            forged = await publish(client, f"{FORGED}{number}x{n}")
            answers[forged.status_code] += 1
            if forged.status_code == 429:
                assert problem(forged, 429, "rate_limited")["retry_after"] >= 1
                return

    async with httpx2.AsyncClient(base_url=own.url, trust_env=False, timeout=30) as client:
        honest = own.client_token()
        assert (await publish(client, honest)).status_code == 201
        begun = time.monotonic()
        floods = asyncio.gather(*(flood(client, number) for number in range(20)))
        honestly = [await publish(client, honest) for _ in range(50)]
        await floods
        seconds = time.monotonic() - begun
    assert {answer.status_code for answer in honestly} == {201}
    assert set(answers) == {401, 429}
    assert answers[401] <= 200 + 20 * seconds + 20, "at once, a second, and in flight"


def test_bodies_without_a_token_are_neither_waited_for_nor_kept(own: Stack) -> None:
    address = (httpx2.URL(own.url).host, httpx2.URL(own.url).port or 80)
    head = "POST /v1/channels/room:lobby/messages HTTP/1.1\r\nHost: x\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 1000000\r\n"
    kinds: list[dict[str, Any]] = [{}, {"authorization": f"Bearer {FORGED}"}]
    with contextlib.ExitStack() as stack:
        for number in range(60):
            more = "".join(f"{name}: {value}\r\n" for name, value in kinds[number % 2].items())
            caller = stack.enter_context(socket.create_connection(address, timeout=30))
            caller.sendall(f"{head}{more}\r\n".encode() + b"x" * 400_000)
            assert caller.recv(100).split()[1] in (b"401", b"429")
        kept = [file for file in (own.var / "nginx" / "temp").rglob("*") if file.is_file()]
    assert kept == []
