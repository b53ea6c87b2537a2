"""Generated files are compared or written."""

from __future__ import annotations

import sys

import pytest

from scripts import generated


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    return {tmp_path / "reference" / "metrics.md": "new"}


def test_stale_files_are_named_and_then_written(files, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["metrics_reference", "--check"])
    assert generated.write(files) == 1
    assert capsys.readouterr().out == "reference/metrics.md is stale: run make docs\n"
    monkeypatch.setattr(sys, "argv", ["metrics_reference"])
    assert generated.write(files) == 0
    monkeypatch.setattr(sys, "argv", ["metrics_reference", "--check"])
    assert generated.write(files) == 0
