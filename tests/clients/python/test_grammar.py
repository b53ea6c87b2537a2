"""Names of channels and users, checked before they are sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openline.errors import OpenlineError
from openline.grammar import check_channel, check_user
from services.kernel.domain import channels
from services.kernel.domain.codes import OpenlineError as ServerError

pytestmark = pytest.mark.clients

MOSTLY_RIGHT = st.text(alphabet="abzAZ09_.:@|=+-é \n/", max_size=220)


@given(MOSTLY_RIGHT)
def test_a_channel_is_taken_here_if_the_server_takes_it(name):
    try:
        channels.split(name)
    except ServerError:
        with pytest.raises(OpenlineError) as refused:
            check_channel(name)
        assert refused.value.code == "bad_request"
    else:
        assert check_channel(name) == name


@given(MOSTLY_RIGHT)
def test_a_user_is_taken_here_if_the_server_takes_it(name):
    if channels.is_subject(name):
        assert check_user(name) == name
    else:
        with pytest.raises(OpenlineError):
            check_user(name)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("bob smith", "the user 'bob smith' has ' ' at position 3"),
        ("bob/7", "'/' at position 3"),
        ("", "1 to 128 characters, not 0"),
        ("b" * 129, "1 to 128 characters, not 129"),
        ("client:shop", "client:... is how API clients are named"),
        (7, "a user is a string, not int"),
    ],
)
def test_the_refusal_of_a_user_names_what_is_wrong(user, said):
    with pytest.raises(OpenlineError, match="bad_request") as refused:
        check_user(user)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("lobby", "written namespace:name"),
        ("Room:lobby", "the namespace 'Room'"),
        ("room:lob by", "has ' ' at position 3"),
        (None, "not NoneType"),
    ],
)
def test_the_refusal_of_a_channel_names_what_is_wrong(channel, said):
    with pytest.raises(OpenlineError) as refused:
        check_channel(channel)
    assert said in str(refused.value)
