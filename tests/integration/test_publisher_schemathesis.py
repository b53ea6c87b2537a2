"""The publisher's OpenAPI document is true: schemathesis finds no call that behaves otherwise, with all its checks."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import start_redis
from tests.support.service_process import ServiceProcess
from tests.support.token_issuer import TokenIssuer

EXAMPLES = 8
"""Cases a call and phase; with two, and through the front door, tests/e2e/test_http_traces.py tries the same."""


@pytest.fixture
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as issuer:
        yield issuer


@pytest.fixture
def publisher(tmp_path, issuer) -> Iterator[ServiceProcess]:
    with (
        start_redis(tmp_path) as redis,
        ServiceProcess(
            "publisher", tmp_path, OPENLINE_REDIS_URL=redis.url, **issuer.environment
        ) as process,
    ):
        yield process


@pytest.mark.slow
def test_all_checks_pass(publisher, issuer, tmp_path):
    command = Path(sys.executable).with_name("schemathesis")
    ended = subprocess.run(
        [
            command,
            "run",
            "--checks=all",
            f"--max-examples={EXAMPLES}",
            f"--header=Authorization: Bearer {issuer.token()}",
            "--no-color",
            f"{publisher.url}/openapi.json",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    found = re.search(r"Tested: (\d+)", ended.stdout)
    assert found is not None, ended.stdout[-3000:]
    assert int(found[1]) == 16
    assert "Traceback" not in publisher.log
