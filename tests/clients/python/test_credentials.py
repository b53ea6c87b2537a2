"""With what a publisher identifies itself, and when its token is renewed."""

from __future__ import annotations

import pytest

from openline.address import DEFAULT
from openline.credentials import AccessToken, credentials
from openline.errors import OpenlineError
from openline.signing import SigningKey

pytestmark = pytest.mark.clients


def test_what_is_not_given_comes_from_the_environment():
    found = credentials(
        None,
        environ={
            "OPENLINE_URL": "https://rt.example.org/",
            "OPENLINE_CLIENT_ID": "shop",
            "OPENLINE_CLIENT_SECRET": "hush",
        },
    )
    assert (found.url, found.login) == ("https://rt.example.org", ("shop", "hush"))
    assert "hush" not in repr(found)


def test_an_argument_counts_before_the_environment():
    environ = {
        "OPENLINE_CLIENT_ID": "shop",
        "OPENLINE_CLIENT_SECRET": "hush",
        "OPENLINE_URL": "http://a",
    }
    assert credentials("http://b", environ=environ).url == "http://b"
    assert credentials(None, token="t", environ=environ).login is None
    assert credentials(None, client_id="other", client_secret="s", environ=environ).login == (
        "other",
        "s",
    )


def test_a_token_of_the_environment_is_enough():
    found = credentials(None, environ={"OPENLINE_TOKEN": "t"})
    assert (found.url, found.token) == (DEFAULT, "t")
    assert found.signed(0) == ("t", float("inf"))


def test_the_address_of_a_client_is_taken_as_well():
    assert credentials("wss://rt.example.org", token="t").url == "https://rt.example.org"


@pytest.mark.parametrize(
    ("url", "arguments", "said"),
    [
        (None, {}, "no credentials"),
        (None, {"client_id": "shop"}, "client_id without client_secret"),
        ("rt.example.org", {"token": "t"}, "front door"),
        ("https://a:b@rt.example.org", {"token": "t"}, "no user, password"),
    ],
)
def test_what_is_missing_or_wrong_is_named(url, arguments, said):
    with pytest.raises(OpenlineError, match=said) as refused:
        credentials(url, **arguments, environ={})
    assert refused.value.code == "bad_configuration"


@pytest.mark.parametrize("token", ["", "hush\n", "hush hush", "hush\u20ac", "h=ush"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_repeated(token):
    with pytest.raises(OpenlineError, match="a token is letters") as refused:
        credentials("http://a", token=token, environ={})
    assert (refused.value.code, refused.value.temporary) == ("bad_configuration", False)
    assert "hush" not in str(refused.value)


def test_a_key_signs_a_token_for_the_publisher_itself():
    found = credentials("http://a", key=SigningKey.hs256("s" * 32), environ={})
    token, seconds = found.signed(1000)
    assert (token.count("."), seconds) == (2, 300)


def test_a_token_is_renewed_a_minute_before_it_ends():
    token = AccessToken()
    assert not token.fresh(0)
    token.keep("a", 600, now=100)
    assert token.fresh(639)
    assert not token.fresh(640)
    assert token.good(699)
    assert not token.good(700)


def test_a_short_token_is_renewed_at_half_of_its_life():
    token = AccessToken()
    token.keep("a", 60, now=0)
    assert token.fresh(29)
    assert not token.fresh(30)


def test_a_token_whose_renewal_failed_is_used_a_little_longer_but_not_beyond_its_end():
    token = AccessToken()
    token.keep("a", 600, now=0)
    token.postpone(550)
    assert token.fresh(554)
    assert not token.fresh(555)
    token.postpone(598)
    assert not token.fresh(600)


def test_only_the_token_that_was_refused_is_forgotten():
    token = AccessToken()
    token.keep("b", 600, now=0)
    token.forget("a")
    assert token.fresh(1)
    token.forget("b")
    assert not token.fresh(1)
