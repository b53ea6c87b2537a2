"""Which browser origins are allowed."""

from __future__ import annotations

import pytest

from services.kernel.domain.origins import Origins, check

LISTED = Origins(["http://localhost:*", "https://app.example.org", "http://intra:8000"])


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:5173", True),
        ("http://localhost", True),
        ("https://localhost:5173", False),
        ("http://localhost.evil.example:1", False),
        ("https://app.example.org", True),
        ("https://app.example.org:443", True),
        ("HTTPS://APP.example.org", True),
        ("https://app.example.org:8443", False),
        ("https://evil.example", False),
        ("https://app.example.org.evil.example", False),
        ("http://intra:8000", True),
        ("http://intra", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("http://localhost:99999999", False),
        ("http://localhost:5173/path", False),
    ],
)
def test_listed_origins(origin, allowed):
    assert LISTED.allows(origin) is allowed


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("http://127.0.0.1:8080", "127.0.0.1:8081", False),
        ("https://rt.example.org", "rt.example.org", True),
        ("https://rt.example.org", "RT.example.org:443", True),
        ("http://rt.example.org", "rt.example.org:443", False),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://evil.example", "rt.example.org", False),
        ("http://evil.example", "rt.example.org/@evil.example", False),
        ("http://evil.example", None, False),
        ("http://x", "x:99999999", False),
    ],
)
def test_the_own_origin_is_the_requests_host_and_port(origin, host, own):
    assert Origins().allows(origin, host) is own


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "localhost",
        "http://",
        "http://*",
        "http://*.example.org",
        "ws://x",
        "http://x/y",
        "http://x:y",
    ],
)
def test_what_is_no_origin_is_refused_saying_how_one_is_written(pattern):
    with pytest.raises(ValueError, match="scheme://host"):
        check(pattern)
