"""A call passes with the right token, scope and network, and nothing else."""

from __future__ import annotations

import ipaddress

import pytest
from starlette.requests import Request

from services.kernel.domain import capabilities
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.revocations import Kind, Revocation, Revoked
from services.publisher.routes.guard import MANAGE, READ, Guard
from tests.support.refusals import refused

LIMITED = Claims(sub="x", channels=capabilities.parse({"room:*": ["publish"]}))


class Verifier:
    """Knows one token, `good`."""

    async def verify(self, token, now):
        if token != "good":
            raise OpenlineError(Code.UNAUTHORIZED, f"not at {now}")
        return Claims(sub="bob", iat=10, scope=frozenset({"read", "manage"}))


def request(*authorization, address="127.0.0.1"):
    headers = [(b"authorization", value.encode()) for value in authorization]
    return Request({"type": "http", "headers": headers, "client": (address, 1)})


def guard(revoked=Revoked):
    networks = [ipaddress.ip_network("127.0.0.0/8")]
    return Guard(Verifier(), admin_networks=networks, revoked=revoked, clock=lambda: 20.0)


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
