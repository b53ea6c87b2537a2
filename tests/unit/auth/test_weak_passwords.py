"""Passwords that guessers try first are refused, and what others choose is not."""

from __future__ import annotations

import secrets

import pytest

from services.auth.weak_passwords import reason


@pytest.mark.parametrize("password", ["aaaaaaaa", "11111111", "abcabcabc", "12341234", "xyXYxyXY"])
def test_what_repeats_is_weak(password):
    assert "repeats" in reason(password, "alice")


@pytest.mark.parametrize(
    "password",
    ["12345678", "87654321", "1234567890", "qwertyui", "Asdfghjkl", "abcdefgh", "qwerty12", "abc12345"],
)  # fmt: skip
def test_rows_are_weak(password):
    assert "row" in reason(password, "alice")


@pytest.mark.parametrize(
    "password", ["alice123", "alicealice", "ecilaecila", "!Alice2024", "alice.xy"]
)
def test_the_username_is_weak(password):
    assert "username" in reason(password, "alice")
    assert reason(password, "someone") is None


def test_a_part_of_the_username_is_weak():
    assert "username" in reason("smith1234", "john.smith")


@pytest.mark.parametrize(
    "password",
    ["password", "Password1!", "P@ssw0rd", "p4$$w0rd!", "passw0rd", "password123", "trustno1", "iloveyou",
     "Welcome2024!", "openline1", "1q2w3e4r", "sunshine", "hello123", "letmein!!", "changeme"],
)  # fmt: skip
def test_what_is_tried_first_is_weak(password):
    assert "tried first" in reason(password, "alice")


@pytest.mark.parametrize(
    "password",
    ["correct horse", "long enough", "a fine password", "alice in wonderland", "77a88b99c"],
)
def test_others_are_not(password):
    assert reason(password, "alice") is None


def test_what_is_generated_is_never_weak():
    for _ in range(2000):
        for password in (secrets.token_hex(8), secrets.token_urlsafe(32)[:16]):
            assert reason(password, "abc") is None, password
