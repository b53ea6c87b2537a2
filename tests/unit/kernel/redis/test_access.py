"""Passwords and certificates come from files and a command as they are now, and nobody is shown them."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import pytest

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis import access
from services.kernel.redis.access import Access, PasswordCommand, check_access, passwords, run
from services.kernel.redis.errors import NoPasswordError, translate
from tests.support.waiting import until


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


async def test_a_password_file_is_read_each_time(tmp_path):
    path = tmp_path / "password"
    known = passwords(Access(password_file=path), renewed=print)
    with pytest.raises(ConfigurationError, match=r"OPENLINE_REDIS_PASSWORD_FILE=.*No such file"):
        await known.current()
    for password in ("one", "two"):
        path.write_text(f"{password}\n")
        assert await known.current() == password


def test_without_settings_there_is_no_password():
    assert passwords(Access(), renewed=print) is None
    assert Access().certificates() == {}


def test_certificates_are_looked_for_each_time(tmp_path):
    path = tmp_path / "ca.pem"
    given = Access(ca_file=path)
    with pytest.raises(ConfigurationError, match=r"OPENLINE_REDIS_CA_FILE=.*No such file"):
        given.certificates()
    path.write_text("")
    assert given.certificates() == {"ssl_ca_certs": str(path)}


@pytest.mark.server
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys; print('s3cret'); sys.exit(3)", "exit status 3"),
        ("", "printed no password"),
        ("print('s3cret' * 5_000)", "too long a line"),
        ("print('s3cret' * 100_000)", "not ended within 0.5 s"),
        ("import time; print('s3cret', flush=True); time.sleep(60)", "not ended within 0.5 s"),
    ],
)
async def test_a_command_that_gives_none_says_why_and_no_secret(monkeypatch, text, said):
    monkeypatch.setattr(access, "PATIENCE", 0.5 if "0.5 s" in said else 60)
    with pytest.raises(NoPasswordError, match=said) as caught:
        await run(program(text))
    message = translate(caught.value).message
    assert said in message
    assert "s3cret" not in message


@pytest.mark.server
async def test_a_child_that_a_command_leaves_behind_is_not_waited_for(tmp_path, monkeypatch):
    """It lives, and holds what its parent printed to, until this test is over."""
    monkeypatch.setattr(access, "PATIENCE", 60)
    os.mkfifo(tmp_path / "end")
    child = (
        f"import subprocess; subprocess.Popen(['cat', {str(tmp_path / 'end')!r}]); print('s3cret')"
    )
    try:
        async with asyncio.timeout(60):
            assert await run(program(child)) == "s3cret"
    finally:
        (tmp_path / "end").write_text("")


async def test_a_command_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="OPENLINE_REDIS_PASSWORD_COMMAND cannot be run"):
        await run(["/nowhere/at/all"])


@pytest.mark.server
async def test_the_next_password_is_fetched_before_the_time_of_the_last_is_over(tmp_path):
    (tmp_path / "p").write_text("one")
    came: asyncio.Queue[str] = asyncio.Queue()
    known = PasswordCommand(["cat", str(tmp_path / "p")], seconds=0.4, renewed=came.put_nowait)
    try:
        begun = time.monotonic()
        assert await known.current() == "one"
        (tmp_path / "p").write_text("two")
        async with asyncio.timeout(30):
            while await came.get() != "two":
                pass
        assert time.monotonic() - begun > 0.1
        assert await known.current() == "two"
    finally:
        await known.close()


async def until_it_fails(known) -> None:
    while True:
        assert await known.current() == "one"
        await asyncio.sleep(0.05)


@pytest.mark.server
async def test_while_the_command_fails_the_last_password_counts_until_its_time_is_over(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(access, "AGAIN", 0.02)
    monkeypatch.setattr(access, "RENEW", 0.1)
    (tmp_path / "p").write_text("one")
    known = PasswordCommand(["cat", str(tmp_path / "p")], seconds=3.0, renewed=print)
    try:
        assert await known.current() == "one"
        (tmp_path / "p").unlink()
        async with asyncio.timeout(30):
            await until(lambda: "redis_password_renewal_failed" in caplog.text)
            assert await known.current() == "one"
            with pytest.raises(NoPasswordError):
                await until_it_fails(known)
    finally:
        await known.close()


@pytest.mark.server
async def test_a_password_that_was_refused_is_fetched_anew_but_not_on_and_on(tmp_path, monkeypatch):
    (tmp_path / "p").write_text("one")
    known = PasswordCommand(["cat", str(tmp_path / "p")], seconds=900, renewed=print)
    monkeypatch.setattr(access, "YOUNG", 60.0)
    try:
        assert await known.current() == "one"
        (tmp_path / "p").write_text("two")
        known.refuse()
        assert await known.current() == "one"
        monkeypatch.setattr(access, "YOUNG", 0.0)
        known.refuse()
        assert await known.current() == "two"
    finally:
        await known.close()


@pytest.mark.parametrize(
    ("given", "url", "said"),
    [
        ({"ca_file": "ca"}, "redis://h", "write rediss://"),
        ({"key_file": "k"}, "rediss://h", "OPENLINE_REDIS_CERT_FILE"),
        ({"password_file": "p", "password_command": "c"}, "redis://h", "both set"),
        ({"password_file": "p"}, "redis://u:s3cret@h", "take it out"),
        ({"password_command": "'c"}, "redis://h", "cannot be read"),
    ],
)
def test_what_would_count_nowhere_is_refused(given, url, said):
    with pytest.raises(ValueError, match=said) as caught:
        check_access(Access(**given), [url])
    assert "s3cret" not in str(caught.value)


def test_what_counts_for_one_of_several_servers_passes():
    given = Access(ca_file="ca", cert_file="c", key_file="k", password_file="p")
    check_access(given, ["redis://u:pw@a/0", "rediss+sentinel://u@h1,[::1]:3/NAME"])
