"""Names, passwords and secrets."""

from __future__ import annotations

import asyncio
import threading

import pytest
from argon2 import extract_parameters

from services.auth import credentials
from services.auth.credentials import MAX_WAITING, Passwords
from services.kernel.domain.codes import Code, OpenlineError
from tests.support.waiting import until


@pytest.fixture
def passwords():
    one = Passwords(1)
    yield one
    one.close()


@pytest.mark.parametrize("name", ["abc", "a.b_c-9", "x" * 64])
def test_a_good_username_is_answered(name):
    assert credentials.check_username(name) == name


@pytest.mark.parametrize("name", ["", "ab", "x" * 65, "Abc", "a b", "abc\n", "é" * 5, "client:x"])
def test_a_bad_username_is_refused_with_the_rule(name):
    with pytest.raises(OpenlineError, match="3-64"):
        credentials.check_username(name)


@pytest.mark.parametrize("secret", ["x" * 31, "é" * 40, "x" * 129])
def test_a_weak_client_secret_is_refused(secret):
    with pytest.raises(OpenlineError, match="32-128"):
        credentials.check_secret(secret)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "8-128"),
        ("x" * 129, "8-128"),
        ("password", "tried first"),
        ("alice1234", "username"),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(password, why):
    with pytest.raises(OpenlineError, match=why):
        credentials.check_password(password, "alice")
    assert credentials.check_password("correct horse", "alice") == "correct horse"


def test_a_secret_matches_only_itself():
    stored = credentials.digest("secret")
    assert credentials.secret_matches(stored, "secret")
    assert not credentials.secret_matches(stored, "other")
    assert not credentials.secret_matches(stored, "\ud800")
    assert not credentials.secret_matches(None, "secret")


async def test_a_password_matches_only_itself(passwords):
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.matches(stored, "correct horse")
    assert not await passwords.matches(stored, "other")
    assert not await passwords.matches("damaged", "correct horse")
    assert not await passwords.matches(None, "correct horse")
    assert await passwords.matches(passwords.hash_now("x"), "x")


async def test_an_unknown_user_costs_the_same_check_as_a_wrong_password(passwords, monkeypatch):
    stored = await passwords.hash("correct horse")
    verify, checked = passwords._verify, []

    def noted(of: str, password: str) -> bool:
        checked.append(extract_parameters(of))
        return verify(of, password)

    monkeypatch.setattr(passwords, "_verify", noted)
    assert not await passwords.matches(stored, "wrong")
    assert not await passwords.matches(None, "wrong")
    known, unknown = checked
    assert known == unknown


async def test_the_loop_goes_on_and_the_line_is_bounded(passwords, monkeypatch):
    begun, go = threading.Event(), threading.Event()

    class Waiting:
        def hash(self, text):
            begun.set()
            assert go.wait(20)  # by the loop, which a hash on its own thread would have stopped
            return text

    monkeypatch.setattr(passwords, "_argon2", Waiting())
    many = [asyncio.create_task(passwords.hash("x")) for _ in range(MAX_WAITING + 11)]
    await until(begun.is_set)
    go.set()
    assert await many[0] == "x"
    passwords.close()
    answers = await asyncio.gather(*many, return_exceptions=True)
    refused = [a for a in answers if isinstance(a, OpenlineError)]
    assert len(refused) == 10
    assert {error.code for error in refused} == {Code.UNAVAILABLE}
