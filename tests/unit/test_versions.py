"""One release, one number: the server's project file says it, and all that is released with it says the same."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from services.kernel.ops.version import version

ROOT = Path(__file__).resolve().parents[2]


def project(path: str) -> str:
    return tomllib.loads((ROOT / path).read_text("utf-8"))["project"]["version"]


def test_the_services_say_the_number_of_the_project_file():
    assert version() == project("pyproject.toml")


def test_both_clients_have_the_servers_number():
    package = json.loads((ROOT / "clients/js/package.json").read_text("utf-8"))
    lock = json.loads((ROOT / "clients/js/package-lock.json").read_text("utf-8"))
    assert project("clients/python/pyproject.toml") == project("pyproject.toml")
    assert package["version"] == project("pyproject.toml")
    assert lock["version"] == lock["packages"][""]["version"] == project("pyproject.toml")


def test_the_changelog_names_no_newer_release():
    headings = [
        line
        for line in (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines()
        if line.startswith("## ")
    ]
    assert "Unreleased" in headings[0]
    assert len(headings) == 1 or project("pyproject.toml") in headings[1]
