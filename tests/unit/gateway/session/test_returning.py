"""What a client that comes back says of itself."""

from __future__ import annotations

from services.gateway.session.returning import Returning, digest
from services.kernel.protocol.commands import Auth

NAME = "n" * 22


def test_a_newcomer_says_nothing():
    assert Returning.of(Auth(), anonymous=True) is None
    assert Returning.of(Auth(token="t", client=NAME), anonymous=False) is None


def test_a_user_names_its_former_connection():
    auth = Auth(token="t", previous="c", client=NAME)
    assert Returning.of(auth, anonymous=False) == Returning("c", "")


def test_an_anonymous_client_is_known_by_a_digest_of_its_name():
    returning = Returning.of(Auth(previous="c", client=NAME), anonymous=True)
    assert returning == Returning("c", digest(NAME))
    assert NAME not in returning.client
    assert Returning.of(Auth(client="m" * 22), anonymous=True).client != returning.client
