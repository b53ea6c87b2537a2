"""The known name that a misspelt one is nearest to."""

from __future__ import annotations

import pytest

from services.kernel.domain.nearest import nearest, shown

MEMBERS = ("data", "key", "tags", "ephemeral", "expect")


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("ephemral", "ephemeral"),
        ("Ephemeral", "ephemeral"),
        ("idempotency_key", "key"),
        ("idempotencyKey", "key"),
        ("dta", "data"),
        ("tag", "tags"),
        ("expected", "expect"),
    ],
)
def test_a_misspelt_name_has_the_one_that_was_meant(name, right):
    assert nearest(name, MEMBERS) == right


def test_the_longest_of_the_names_that_stand_in_it_counts():
    assert nearest("my_very_own_user_rate", ("rate", "user_rate", "user")) == "user_rate"


def test_a_slip_counts_before_a_name_that_stands_in_it():
    assert nearest("tls_prot", ("tls", "tls_port")) == "tls_port"


def test_what_is_like_nothing_still_has_a_nearest():
    assert nearest("", MEMBERS) in MEMBERS
    assert nearest("\N{SNOWMAN}", MEMBERS) in MEMBERS


def test_a_long_name_is_compared_and_shown_in_part():
    assert nearest("ephemral" + "x" * 1_000_000, MEMBERS) == "ephemeral"
    assert shown("x" * 1_000_000) == repr("x" * 64 + "...")
    assert shown("dta\n\x1b[2J") == "'dta\\n\\x1b[2J'"
