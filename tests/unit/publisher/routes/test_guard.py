"""A call passes with the right token, scope and network, and nothing else."""

from __future__ import annotations

import ipaddress

import pytest
from starlette.requests import Request

from services.kernel.domain import capabilities
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.http import auth_failures
from services.kernel.http.auth_failures import AuthFailures
from services.kernel.tokens.revocations import Kind, Revocation, Revoked
from services.publisher.routes.guard import MANAGE, READ, Guard
from tests.support.refusals import refused

LIMITED = Claims(sub="x", channels=capabilities.parse({"room:*": ["publish"]}))


class Verifier:
    """Knows one token, `good`; `seen` was verified before."""

    def __init__(self):
        self.asked = 0

    def cached(self, token, now):
        return Claims(sub="bob", iat=now, scope=frozenset({"read"})) if token == "seen" else None

    async def verify(self, token, now):
        self.asked += 1
        if token != "good":
            raise OpenlineError(Code.UNAUTHORIZED, f"not at {now}")
        return Claims(sub="bob", iat=10, scope=frozenset({"read", "manage"}))


def request(*authorization, address="127.0.0.1"):
    headers = [(b"authorization", value.encode()) for value in authorization]
    return Request({"type": "http", "headers": headers, "client": (address, 1)})


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(auth_failures, "PAUSE", 0.001)


def guard(revoked=Revoked, verifier=None):
    return Guard(
        verifier or Verifier(),
        admin_networks=[ipaddress.ip_network("127.0.0.0/8")],
        revoked=revoked,
        failures=AuthFailures(Limits(refused_tokens_burst=3)),
        clock=lambda: 20.0,
    )


@pytest.mark.parametrize("header", ["Bearer good", "bearer good", "BEARER  good "])
async def test_a_good_token_passes(header):
    assert (await guard().caller(request(header), READ)).sub == "bob"


@pytest.mark.parametrize(
    "headers",
    [(), ("",), ("Bearer",), ("Bearer ",), ("good",), ("Basic good",), ("Bearer bad",),
     ("Bearer good", "Bearer good")],
)  # fmt: skip
async def test_anything_else_is_unauthorized(headers):
    with refused(Code.UNAUTHORIZED):
        await guard().caller(request(*headers), READ)


async def test_the_scope_must_be_there():
    with refused(Code.FORBIDDEN, "scope publish"):
        await guard().caller(request("Bearer good"), "publish")


async def test_a_revoked_token_is_unauthorized():
    revoked = Revoked([Revocation(kind=Kind.SUBJECT, value="bob", exp=99, cutoff=10)])
    with refused(Code.UNAUTHORIZED, "revoked"):
        await guard(lambda: revoked).caller(request("Bearer good"), READ)


async def test_manage_is_for_administrative_networks():
    assert await guard().caller(request("Bearer good"), MANAGE)
    with refused(Code.FORBIDDEN, "OPENLINE_ADMIN_NETWORKS"):
        await guard().caller(request("Bearer good", address="192.0.2.1"), MANAGE)
    assert await guard().caller(request("Bearer good", address="192.0.2.1"), READ)


async def test_forged_tokens_of_an_address_are_soon_not_verified_and_known_ones_pass():
    verifier = Verifier()
    one = guard(verifier=verifier)
    for _ in range(3):
        with refused(Code.UNAUTHORIZED):
            await one.caller(request("Bearer forged"), READ)
    for _ in range(20):
        with refused(Code.RATE_LIMITED, "refused"):
            await one.caller(request("Bearer forged"), READ)
    assert verifier.asked == 3
    assert await one.caller(request("Bearer seen"), READ)
    assert await one.caller(request("Bearer good", address="192.0.2.1"), READ)


async def test_a_revoked_token_and_a_missing_one_count_as_refused():
    revoked = Revoked([Revocation(kind=Kind.SUBJECT, value="bob", exp=99, cutoff=20)])
    one = guard(lambda: revoked)
    for headers in (("Bearer seen",), (), ("Bearer seen",)):
        with refused(Code.UNAUTHORIZED):
            await one.caller(request(*headers), READ)
    for headers in (("Bearer seen",), ()):
        with refused(Code.RATE_LIMITED):
            await one.caller(request(*headers), READ)
