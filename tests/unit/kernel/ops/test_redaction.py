"""No token, ticket, password or credential survives redaction."""

from __future__ import annotations

import pytest

from services.kernel.ops import redaction

JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"token {JWT} refused", "token [redacted] refused"),
        ("/ws?token=abc&since=e:1", "/ws?token=[redacted]&since=e:1"),
        ("/ws?ticket=abc", "/ws?ticket=[redacted]"),
        (
            "grant_type=password&username=a&password=p%40ss",
            "grant_type=password&username=a&password=[redacted]",
        ),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("redis://user:secret@host:6379/0", "redis://user:[redacted]@host:6379/0"),
        ("redis://:secret@host", "redis://:[redacted]@host"),
        ("nothing to hide: a=b", "nothing to hide: a=b"),
    ],
)
def test_secrets_in_text_are_masked_and_the_rest_stays(text, clean):
    assert redaction.text(text) == clean


def test_what_stands_under_a_secret_name_is_masked_at_any_depth():
    item = {"user": "bob", "auth": [{"Token": "abc"}, {"client_secret": 5}], "password": None}
    assert redaction.value(item) == {
        "user": "bob",
        "auth": [{"Token": "[redacted]"}, {"client_secret": "[redacted]"}],
        "password": None,
    }


def test_a_structure_without_end_is_cut():
    endless: dict = {}
    endless["again"] = endless
    assert "[redacted]" in str(redaction.value(endless))


@pytest.mark.parametrize("item", [1, 1.5, True, None, b"raw"])
def test_other_values_pass(item):
    assert redaction.value(item) == item


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/auth/token", "/auth/token"),
        (f"/auth/{JWT}", "[redacted]"),
        ("/auth/" + "Zx-9_" * 9, "[redacted]"),
        ("/auth/" + "a/" * 200, "/auth/" + "a/" * 145 + "a…"),
    ],
)
def test_a_path_that_may_hold_a_token_is_masked_and_a_long_one_is_cut(path, clean):
    assert redaction.path(path) == clean
