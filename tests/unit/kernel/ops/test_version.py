"""The version is the project file's where that stands beside the services, else the installed distribution's."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

from services.kernel.ops import version as module
from services.kernel.ops.version import version

PROJECT = Path(__file__).resolve().parents[4] / "pyproject.toml"


@pytest.fixture(autouse=True)
def asked_anew():
    version.cache_clear()
    yield
    version.cache_clear()


def test_in_a_checkout_it_is_that_of_the_project_file_whatever_is_installed(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", {"openline-server": "7.8.9"}.__getitem__)
    assert version() == tomllib.loads(PROJECT.read_text())["project"]["version"]


def test_without_a_project_file_it_is_the_distributions(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "PROJECT", tmp_path / "pyproject.toml")
    monkeypatch.setattr(importlib.metadata, "version", {"openline-server": "7.8.9"}.__getitem__)
    assert version() == "7.8.9"
