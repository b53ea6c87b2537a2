"""Whose token opens a connection: the first found counts, and a cookie only from our own pages."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from services.gateway.transports import credentials
from services.gateway.transports.credentials import LATER, identify
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.origins import Origins
from tests.support.refusals import refused


class Verifying:
    """Tokens and tickets are good for the user that they name; `bad` is none."""

    async def verify(self, token):
        if token == "bad":
            raise OpenlineError(Code.UNAUTHORIZED, "bad token")
        return Claims(sub=token)

    async def redeem(self, ticket):
        return Claims(sub=f"ticket:{ticket}")


async def who(query="", kind="websocket", **headers):
    scope = {
        "type": kind,
        "scheme": "ws",
        "path": "/ws",
        "query_string": query.encode(),
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
    }
    found = await identify(HTTPConnection(scope), Verifying(), Origins(("https://app.example",)))
    return found.sub if isinstance(found, Claims) else found


COOKIE = "openline_token=cookie"


async def test_the_first_found_counts():
    every = "ticket=t&token=query&anonymous=1"
    assert await who(every, authorization="Bearer header", cookie=COOKIE) == "header"
    assert await who(every, cookie=COOKIE) == "ticket:t"
    assert await who("token=query&anonymous=1", cookie=COOKIE) == "query"
    assert await who("anonymous=1") is None
    assert await who() is LATER
    assert await who("anonymous=0") is LATER


@pytest.mark.parametrize("name", ["token", "ticket"])
async def test_an_empty_one_is_refused_at_once(name):
    with refused(Code.UNAUTHORIZED, f"{name}= is empty"):
        await who(f"anonymous=1&{name}=", cookie=COOKIE)


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer "])
async def test_another_authorization_is_passed_over(header):
    assert await who("token=query", authorization=header) == "query"


async def test_the_scheme_is_written_in_any_case():
    assert await who(authorization="bearer header") == "header"


async def test_a_bad_token_is_not_made_up_for_by_another():
    with refused(Code.UNAUTHORIZED):
        await who("token=query", authorization="Bearer bad")


@pytest.mark.parametrize("origin", ["http://here.example", "https://app.example"])
async def test_a_cookie_counts_from_our_own_pages(origin):
    assert await who(cookie=COOKIE, origin=origin, host="here.example") == "cookie"


@pytest.mark.parametrize("headers", [{}, {"origin": "https://evil.example"}, {"origin": "null"}])
@pytest.mark.parametrize("kind", ["websocket", "http"])
async def test_a_cookie_from_elsewhere_is_refused(kind, headers):
    with refused(Code.FORBIDDEN, "OPENLINE_ALLOWED_ORIGINS"):
        await who(kind=kind, cookie=COOKIE, host="here.example", **headers)


async def test_event_source_says_itself_that_it_is_at_home():
    options = {"kind": "http", "cookie": COOKIE, "host": "here.example"}
    assert await who(sec_fetch_site="same-origin", **options) == "cookie"
    with refused(Code.FORBIDDEN):
        await who(sec_fetch_site="cross-site", **options)
    with refused(Code.FORBIDDEN):
        await who(sec_fetch_site="same-origin", cookie=COOKIE, host="here.example")


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("", ""),
        ("a=b", ""),
        ("openline_token=x", "x"),
        ("a=b; openline_token=x.y-z_w ;c=d", "x.y-z_w"),
        ('openline_token="quoted"', "quoted"),
        ("openline_token=first; openline_token=second", "second"),
        ("my_openline_token=other", ""),
        ("openline_token", ""),
    ],
)
def test_of_cookies_only_the_token_is_read(header, token):
    assert credentials._cookie(header) == token


def test_a_crafted_cookie_is_never_unquoted():
    """Each escape made Python's own parser copy the rest: 32 KB took more than a second."""
    escapes = '\\"' * 15_500
    assert credentials._cookie(f'a="{escapes}"; openline_token=x') == "x"
    assert len(credentials._cookie(f'openline_token="{escapes}"')) >= 15_500
