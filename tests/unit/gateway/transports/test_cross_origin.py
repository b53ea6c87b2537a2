"""Which pages may read streams, and send commands for them."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from services.gateway.transports.cross_origin import CrossOrigin, check_one_origin
from services.kernel.domain.codes import Code
from services.kernel.domain.origins import Origins
from tests.support.refusals import refused

OURS = CrossOrigin(Origins(["https://app.example"]))


def request(*origins: str) -> Request:
    headers = [(b"origin", origin.encode()) for origin in origins]
    return Request({"type": "http", "method": "POST", "path": "/sse", "headers": headers})


async def test_an_allowed_page_may_send_json_and_read_when_to_come_back():
    answer = await OURS.preflight(request("https://app.example"))
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Content-Type" in answer.headers["access-control-allow-headers"]
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_a_foreign_page_may_nothing(origin):
    assert OURS.headers(request(origin)) == {}
    assert (await OURS.preflight(request(origin))).status_code == 400


def test_without_an_origin_nothing_is_said():
    assert OURS.headers(request()) == {}


def test_of_two_origins_none_counts():
    check_one_origin(request("https://app.example"))
    with refused(Code.BAD_REQUEST, "once"):
        check_one_origin(request("https://app.example", "https://evil.example"))
