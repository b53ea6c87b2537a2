"""nginx lets the same origins read its answers as the services do theirs."""

from __future__ import annotations

import re
import subprocess

import pytest

from services.gateway.transports import cross_origin
from services.kernel.domain.origins import Origins
from services.kernel.http import middleware
from tests.support.stack import ROOT

pytestmark = pytest.mark.server

ALLOWED = "http://localhost:*, https://App.example.org/,http://[::1],http://x:8080,https://y:443"


def origins(allowed: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", ROOT / "nginx" / "origins.sh", allowed]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "http://localhost:3000",
        "https://localhost",
        "http://localhost.evil:3000",
        "http://localhost:3000/",
        "https://app.example.org",
        "https://APP.example.org:443",
        "https://app.example.org:444",
        "http://app.example.org",
        "https://app-example.org",
        "https://app.example.org.evil",
        "http://[::1]",
        "http://[::1]:80",
        "http://[::1]:8080",
        "http://x",
        "http://x:8080",
        "https://y",
        "null",
        "",
    ],
)
def test_both_allow_the_same(origin: str) -> None:
    lines = origins(ALLOWED).stdout.splitlines()
    patterns = [line.removeprefix('"~*').removesuffix('" $http_origin;') for line in lines]
    assert len(patterns) == 5
    allowed = any(re.search(pattern, origin, re.IGNORECASE) for pattern in patterns)
    assert allowed is Origins(part.strip() for part in ALLOWED.split(",")).allows(origin)


@pytest.mark.parametrize("allowed", ["*", "app.example.org", 'https://a";}', "https://a b"])
def test_what_is_no_origin_is_named(allowed: str) -> None:
    done = origins(f"https://app.example.org,{allowed}")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"OPENLINE_ALLOWED_ORIGINS: {allowed} is not an origin; write scheme://" in done.stderr


def test_a_preflight_that_nginx_answers_allows_what_the_services_do() -> None:
    text = (ROOT / "nginx" / "openline.conf").read_text("utf-8")
    (allowed,) = re.findall(r'default "(Authorization[^"]*)"', text)
    streams = cross_origin._PREFLIGHT["access-control-allow-headers"]
    assert set(allowed.split(", ")) == {*middleware._HEADERS, *streams.split(", ")}


def test_none_is_fine() -> None:
    assert (origins("").returncode, origins("").stdout) == (0, "")
