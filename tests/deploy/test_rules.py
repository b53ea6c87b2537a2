"""Rules and alerts: promtool accepts and tests them, and whoever is woken by one finds a page that helps."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
SECTIONS = ["## What it means", "## Who is affected", "## How to see it", "## What to do"]


def rules() -> list[dict[str, Any]]:
    groups = [
        group
        for file in sorted((PROMETHEUS / "rules").glob("*.yml"))
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
    ]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDS = sorted({rule["record"] for rule in rules() if "record" in rule})


def cases() -> dict[str, set[bool]]:
    """For each alert, whether a test says that it fires (True) and that it does not (False)."""
    found: dict[str, set[bool]] = {}
    for file in sorted((PROMETHEUS / "tests").glob("*.yml")):
        for test in yaml.safe_load(file.read_text("utf-8"))["tests"]:
            for case in test.get("alert_rule_test", ()):
                found.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    return found


@pytest.mark.deploy
@pytest.mark.parametrize(
    "command",
    [
        ["promtool", "check", "config", PROMETHEUS / "prometheus.yml"],
        ["promtool", "test", "rules", *sorted((PROMETHEUS / "tests").glob("*.yml"))],
        ["amtool", "check-config", ALERTMANAGER],
    ],
    ids=lambda command: " ".join(map(str, command[:3])),
)
def test_its_own_tool_finds_no_fault(command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


RUNBOOKS = '{{ or $externalLabels.runbooks "docs/runbooks" }}/'
"""What all of their addresses begin with: OPENLINE_RUNBOOKS in compose."""


def test_the_address_of_the_runbooks_is_a_setting():
    settings = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text("utf-8"))
    assert settings["global"]["external_labels"] == {"runbooks": "${OPENLINE_RUNBOOKS}"}
    dropped = settings["alerting"]["alert_relabel_configs"]
    assert dropped == [{"action": "labeldrop", "regex": "runbooks"}]


def test_every_alert_is_tested_to_fire_and_not_to_fire():
    assert cases() == {name: {True, False} for name in ALERTS}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(name):
    alert = ALERTS[name]
    assert name.startswith("Openline")
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    url = alert["annotations"]["runbook_url"]
    assert url.startswith(RUNBOOKS)
    page = ROOT / "docs" / "runbooks" / url.removeprefix(RUNBOOKS)
    text = page.read_text("utf-8")
    assert name in text
    assert [line for line in text.splitlines() if line in SECTIONS] == SECTIONS


def test_every_runbook_belongs_to_an_alert_and_is_listed():
    pages = {Path(alert["annotations"]["runbook_url"]).name for alert in ALERTS.values()}
    folder = ROOT / "docs" / "runbooks"
    assert {page.name for page in folder.glob("*.md")} - {"README.md"} == pages
    index = (folder / "README.md").read_text("utf-8")
    assert all(f"({page})" in index for page in pages)
    assert set(re.findall(r"`(Openline\w+)`", index)) == set(ALERTS)


@pytest.mark.parametrize("record", RECORDS)
def test_what_is_recorded_is_asked_for(record):
    asked = [str(rule["expr"]) for rule in rules()]
    asked += [file.read_text("utf-8") for file in (ROOT / "deploy" / "grafana").rglob("*.json")]
    assert any(record in text for text in asked)


@pytest.mark.deploy
@pytest.mark.parametrize(("severity", "receiver"), [("critical", "pager"), ("warning", "mailbox")])
def test_what_is_critical_wakes_somebody(severity, receiver):
    command = ["amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}"]
    result = subprocess.run(
        [*command, f"severity={severity}"], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == receiver


def test_alerts_that_are_kept_quiet_exist():
    text = ALERTMANAGER.read_text("utf-8")
    matchers = [m for rule in yaml.safe_load(text)["inhibit_rules"] for m in _names(rule)]
    assert matchers
    for pattern in matchers:
        assert [name for name in ALERTS if re.fullmatch(pattern, name)], pattern
    alternatives = [a for m in matchers for a in re.sub(r"Openline\(|\)$", "", m).split("|")]
    for name in alternatives:
        assert any(re.fullmatch(f"(Openline)?{name}", alert) for alert in ALERTS), name


def _names(rule: dict[str, Any]) -> list[str]:
    found = [*rule["source_matchers"], *rule["target_matchers"]]
    return [re.sub(r"^alertname =~? ", "", matcher).strip('"') for matcher in found]
