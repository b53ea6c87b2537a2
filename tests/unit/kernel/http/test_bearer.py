"""One header, one form: what counts as a bearer token, and from where administrative calls may come."""

from __future__ import annotations

import ipaddress

import pytest

from services.kernel.domain.codes import Code
from services.kernel.http import bearer
from tests.support.refusals import refused

NETWORKS = [ipaddress.ip_network("10.0.0.0/8")]


@pytest.mark.parametrize("header", ["Bearer t.o-k", "bearer t.o-k", "BEARER  t.o-k "])
def test_the_scheme_is_read_in_any_case(header):
    assert bearer.token([header]) == "t.o-k"


@pytest.mark.parametrize(
    "headers", [[], [""], ["Bearer"], ["Bearer "], ["t"], ["Basic t"], ["Bearer t", "Bearer t"]]
)
def test_anything_else_is_told_what_would_be_right(headers):
    with refused(Code.UNAUTHORIZED, "send one header Authorization: Bearer <token>"):
        bearer.token(headers)


@pytest.mark.parametrize("client", [("192.0.2.1", 1), None])
def test_an_administrative_call_from_elsewhere_is_refused(client):
    bearer.check_admin({"client": ("10.1.2.3", 1)}, NETWORKS)
    with refused(Code.FORBIDDEN, "OPENLINE_ADMIN_NETWORKS"):
        bearer.check_admin({"client": client}, NETWORKS)
