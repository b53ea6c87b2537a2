"""Expecting a problem document (RFC 9457), or an OAuth error (RFC 6749 section 5.2)."""

from __future__ import annotations

from typing import Any

import httpx2


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer that must be this refusal, complete and consistent with its headers."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text[:300]}"
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code), body
    assert body["type"] == f"urn:openline:problem:{code}"
    assert body["title"]
    assert body["detail"]
    if status == httpx2.codes.UNAUTHORIZED:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    if status in (429, 503):
        assert body["retry_after"] > 0
        assert int(answer.headers["retry-after"]) >= 1
    return body


def oauth_error(answer: httpx2.Response, status: int, error: str) -> dict[str, Any]:
    """The body of an OAuth refusal."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text[:300]}"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert body["error"] == error, body
    assert body["error_description"]
    if status == httpx2.codes.UNAUTHORIZED:
        assert answer.headers["www-authenticate"].startswith("Basic")
    return body
