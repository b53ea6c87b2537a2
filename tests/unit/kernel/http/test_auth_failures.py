"""How often an address may send tokens that are refused."""

from __future__ import annotations

import asyncio

import pytest

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.http import auth_failures
from services.kernel.http.auth_failures import AuthFailures, client_behind
from tests.support.refusals import refused

WRONG = OpenlineError(Code.UNAUTHORIZED, "the token has expired")
LIMITS = Limits(refused_tokens_rate=1, refused_tokens_burst=2)


def scope(address="192.0.2.1", forwarded=None):
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    return {"type": "http", "client": (address, 1), "headers": headers}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(auth_failures, "PAUSE", 0.001)


async def spent(limits=LIMITS, **more):
    failures = AuthFailures(limits, **more)
    for _ in range(2):
        await failures.check(scope(), 0)
        await failures.count(WRONG, scope(), 0)
    return failures


async def test_an_address_that_fails_too_often_waits_and_others_do_not():
    failures = await spent()
    with refused(Code.RATE_LIMITED, "too many tokens"):
        await failures.check(scope(), 0)
    with refused(Code.RATE_LIMITED):
        await failures.count(WRONG, scope(), 0)
    await failures.check(scope("192.0.2.2"), 0)
    await failures.check(scope(), 1)


async def test_what_is_no_failure_to_prove_who_one_is_does_not_count():
    failures = AuthFailures(LIMITS)
    for _ in range(10):
        await failures.count(OpenlineError(Code.UNAVAILABLE, "keys"), scope(), 0)
    await failures.check(scope(), 0)


async def test_off_lifts_it():
    failures = await spent(Limits(rates=False, refused_tokens_burst=2))
    await failures.count(WRONG, scope(), 0)
    await failures.check(scope(), 0)


async def test_a_refusal_is_held_back_but_only_so_many_at_once(monkeypatch):
    monkeypatch.setattr(auth_failures, "PAUSE", 60)
    monkeypatch.setattr(auth_failures, "MAX_HELD", 3)
    failures = await spent()
    asked = [asyncio.create_task(failures.check(scope(), 0)) for _ in range(5)]
    done, held = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), len(held)) == (2, 3)
    for task in (*done, *held):
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert failures._held == 0


@pytest.mark.parametrize(
    ("address", "forwarded", "seen"),
    [
        ("10.0.0.1", "192.0.2.9", "192.0.2.9"),
        ("10.0.0.1", "198.51.100.7, 192.0.2.9", "192.0.2.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("192.0.2.1", "192.0.2.9", "192.0.2.1"),
    ],
)
def test_behind_a_trusted_proxy_the_address_is_the_clients(address, forwarded, seen):
    assert client_behind(["10.0.0.0/8"])(scope(address, forwarded)) == seen
