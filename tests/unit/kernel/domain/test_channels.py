"""Channel names: what the grammar takes and what it tells whoever breaks it."""

from __future__ import annotations

import pytest

from services.kernel.domain import channels
from services.kernel.domain.codes import Code
from tests.support.refusals import refused


@pytest.mark.parametrize(
    ("channel", "parts"),
    [
        ("room:lobby", ("room", "lobby")),
        ("a:b:c", ("a", "b:c")),
        ("a" * 32 + ":" + "Z" * 200, ("a" * 32, "Z" * 200)),
        ("r0_-:A.z@|=+-_:", ("r0_-", "A.z@|=+-_:")),
    ],
)
def test_a_channel_splits_at_its_first_colon(channel, parts):
    assert channels.split(channel) == parts


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        (None, "must be a string"),
        (5, "must be a string"),
        ("lobby", "namespace:name"),
        ("", "namespace:name"),
        (":x", "lower-case letter"),
        ("Room:x", "lower-case letter"),
        ("0:x", "lower-case letter"),
        ("a" * 33 + ":x", "lower-case letter"),
        ("room:", "1-200 characters"),
        ("room:a/b", "1-200 characters"),
        ("room:a b", "1-200 characters"),
        ("room:a\n", "1-200 characters"),
        ("room:é", "1-200 characters"),
        ("room:" + "x" * 201, "1-200 characters"),
    ],
)
def test_a_malformed_channel_is_refused_with_the_rule_it_breaks(channel, reason):
    with refused(Code.BAD_REQUEST, reason):
        channels.split(channel)


def test_the_longest_channel_has_the_stated_length():
    assert len("a" * 32 + ":" + "Z" * 200) == channels.MAX_CHANNEL


@pytest.mark.parametrize("value", ["42", "bob", "client:x", "a@b.c", "x" * 128])
def test_a_subject_keeps_the_grammar_of_names(value):
    assert channels.is_subject(value)


@pytest.mark.parametrize("value", [None, 42, "", "x" * 129, "a b", "a/b", "a\n", b"bob", True])
def test_anything_else_is_no_subject(value):
    assert not channels.is_subject(value)


def test_the_personal_channel_is_named_after_its_user():
    assert channels.personal("bob") == "user:bob"


def test_no_channel_can_be_named_as_the_count_of_a_users_connections():
    with refused(Code.BAD_REQUEST):
        channels.split(channels.connections("room:bob"))
    assert channels.connections("bob") > "z" * 32 + ":"


def test_neither_channels_nor_users_can_be_named_as_the_count_of_an_addresss_connections():
    with refused(Code.BAD_REQUEST):
        channels.split(channels.address("192.0.2.1"))
    assert not channels.is_subject(channels.address("192.0.2.1")[1:])
    assert channels.address("192.0.2.1") > "z" * 32 + ":"
