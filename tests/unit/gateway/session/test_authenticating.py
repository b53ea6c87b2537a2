"""Tokens that come as a message, and the codes of those that are no good."""

from __future__ import annotations

import pytest

from services.gateway.session.authenticating import claims_of
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from tests.support.bare_session import fresh
from tests.support.gateway_host import ManualHost, now


def test_a_token_says_who_it_is_and_none_says_nobody():
    host = ManualHost()
    host.tokens["t"] = Claims(sub="bob")
    session = fresh(host)
    assert now(claims_of(session, "t")) == Claims(sub="bob")
    assert now(claims_of(session, None)) is None
    assert not session.is_closed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OpenlineError(Code.UNAUTHORIZED, "no"), 4001),
        (OpenlineError(Code.UNAUTHORIZED, "old", expired=True), 4200),
        (OpenlineError(Code.UNAVAILABLE, "keys are away"), 4104),
    ],
)
def test_one_that_is_no_good_ends_the_session_with_its_code(error, code):
    host = ManualHost()
    host.tokens["t"] = error
    session = fresh(host)
    assert now(claims_of(session, "t")) is None
    assert (session.connection.code, session.connection.reason) == (code, error.message)
