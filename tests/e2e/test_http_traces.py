"""The publisher's document through the front door; and what all the calls of these tests leave in the logs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.openapi import schemathesis
from tests.support.stack import Stack


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_document_of_the_publisher_is_true_through_the_front_door_and_leaves_no_trace(
    stack: Stack, tmp_path: Path
) -> None:
    document = f"{stack.run['publisher']}/openapi.json"
    assert schemathesis(document, stack.url, tmp_path, token=stack.client_token(), examples=8) == 18
    test_no_log_holds_a_secret(stack)
    test_no_log_holds_a_traceback_or_an_error_of_ours(stack)


def test_no_log_holds_a_secret(stack: Stack) -> None:
    """nginx's error log prints request lines, and with them what a caller wrote into an address."""
    accounts = [*stack.run["users"], *stack.run["clients"]]
    secrets = {account.get("password") or account["client_secret"] for account in accounts}
    for log in (stack.var / "logs").iterdir():
        text = log.read_text("utf-8", "replace")
        assert not [secret for secret in secrets if secret in text], log.name
        if log.name != "nginx-error.log":
            assert not re.search(r"eyJ[A-Za-z0-9_-]{10,}\.", text), log.name


def test_no_log_holds_a_traceback_or_an_error_of_ours(stack: Stack) -> None:
    for name in ("auth", "publisher"):
        text = stack.log(name)
        assert "Traceback" not in text
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert lines
        assert not [line for line in lines if line["level"] in ("error", "critical")]
    statuses = {
        entry["status"]
        for entry in map(json.loads, stack.log("nginx-access").splitlines())
        if str(entry["path"]).startswith(("/v1/", "/auth/", "/notify/"))
    }
    assert statuses & {500, 502, 504} == set()
