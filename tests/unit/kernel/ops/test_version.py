"""The version is the distribution's, and the project file's where it is not installed."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

from services.kernel.ops import version as module
from services.kernel.ops.version import version

PROJECT = Path(__file__).resolve().parents[4] / "pyproject.toml"


def test_the_installed_one(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", {"openline": "7.8.9"}.__getitem__)
    assert version() == "7.8.9"


def test_run_from_its_sources_it_is_that_of_the_project_file(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert version() == tomllib.loads(PROJECT.read_text())["project"]["version"]
    assert version() == module.UNPACKED
