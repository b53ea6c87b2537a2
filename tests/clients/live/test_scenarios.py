"""The Python client does what a client in any language has to, against a scripted server."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
RUNNER = ROOT / "clients/scenarios/run.py"
ADAPTER = ROOT / "clients/python/scenarios/adapter.py"
SCENARIOS = json.loads((ROOT / "clients/scenarios/scenarios.json").read_text("utf-8"))
LACKS = {"lingers"}  # a channel is left where its `async with` ends

pytestmark = [pytest.mark.clients, pytest.mark.server]

spec = importlib.util.spec_from_file_location("scenario_runner", RUNNER)
assert spec is not None
assert spec.loader is not None
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)


@pytest.mark.timeout(300)
async def test_the_client_does_what_each_scenario_asks_for(monkeypatch):
    """They are played six at a time: most of their time is waiting."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "clients/python/src"))
    wanted = [one for one in SCENARIOS if one.get("optional") not in LACKS]
    found = await runner.play_all(wanted, [sys.executable, str(ADAPTER)], 6)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
