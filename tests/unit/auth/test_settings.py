"""Settings of auth: defaults, and wrong ones refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.auth.settings import Settings
from services.kernel.ops.settings import load


@pytest.fixture(autouse=True)
def _clean(monkeypatch):

    for name in [name for name in os.environ if name.startswith("OPENLINE_")]:
        monkeypatch.delenv(name)


def test_the_defaults_are_closed():
    settings = Settings()
    assert settings.auth_registration == "closed"
    assert not settings.auth_password_grant
    assert settings.database_url == "sqlite:///var/auth.db"
    assert settings.auth_keys == Path("var/keys")


def test_the_data_folder_moves_both_database_and_keys(monkeypatch):
    monkeypatch.setenv("OPENLINE_VAR", "/data")
    settings = Settings()
    assert settings.database_url == "sqlite:////data/auth.db"
    assert settings.auth_keys == Path("/data/keys")


def test_the_postgresql_driver_is_chosen_here(monkeypatch):
    monkeypatch.setenv("OPENLINE_DATABASE_URL", "postgresql://u:p@db/name")
    assert Settings().database_url == "postgresql+psycopg://u:p@db/name"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OPENLINE_AUTH_ALGORITHM", "none", "OPENLINE_AUTH_ALGORITHM"),
        ("OPENLINE_AUTH_ALGORITHM", "HS256", "OPENLINE_HS256_SECRET"),
        ("OPENLINE_DATABASE_URL", "mysql://x", "OPENLINE_DATABASE_URL"),
        ("OPENLINE_DATABASE_URL", "nonsense", "OPENLINE_DATABASE_URL"),
        ("OPENLINE_DATABASE_URL", "postgresql://u:p@db:port/name", "must be sqlite:///path or"),
        ("OPENLINE_AUTH_REGISTRATION", "yes", "OPENLINE_AUTH_REGISTRATION"),
        ("OPENLINE_AUTH_TOKEN_TTL", "1000000", "OPENLINE_AUTH_TOKEN_TTL"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(monkeypatch, capsys, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        load(Settings)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
