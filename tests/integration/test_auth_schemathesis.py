"""The OpenAPI document of auth is true: schemathesis finds no request that is answered otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.support.auth_service import AuthService
from tests.support.redis_server import start_redis


@pytest.fixture(scope="module")
def auth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("auth")
    with (
        start_redis(folder) as redis,
        AuthService(
            folder,
            redis.url,
            OPENLINE_AUTH_REGISTRATION="open",
            OPENLINE_AUTH_PASSWORD_GRANT="on",
            OPENLINE_LIMITS="off",
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def token(auth):
    made = auth.add("add-client", "boss", "--scope", "publish read manage tokens")
    client = (made["client_id"], made["client_secret"])
    form = {"grant_type": "client_credentials"}
    answer = httpx2.post(f"{auth.url}/auth/token", data=form, auth=client)
    return answer.json()["access_token"]


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False], ids=["with-token", "without"])
def test_schemathesis_finds_no_failure(auth, token, tmp_path, known):
    headers = ["-H", f"Authorization: Bearer {token}"] if known else []
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            f"{auth.url}/openapi.json",
            "--url",
            auth.url,
            "--checks",
            "all",
            "--max-examples",
            "40",
            "--seed",
            "1",
            "--generation-database",
            "none",
            "--no-color",
            *headers,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Traceback" not in auth.log.read_text()
