"""Whatever one address sends without end, others are answered: every flood, without nginx, which would slow it down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import ROOT, Stack

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(400)]

SCHEMA = """
[namespaces.checked]
subscribe = "authenticated"
publish = "authenticated"

[namespaces.checked.schema]
type = "array"
uniqueItems = true
items = { type = "object", required = ["id", "tags"] }
"""

MOST = 500
"""Milliseconds: half of what one flooding socket cost others before reading was shared out. Two cores run all of this."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("floods")
    namespaces = folder / "namespaces.toml"
    shipped = (ROOT / "deploy" / "namespaces.toml").read_text("utf-8")
    namespaces.write_text(shipped + SCHEMA, "utf-8")
    with Stack(folder, OPENLINE_NAMESPACES=str(namespaces)) as running:
        yield running


def test_a_bystander_is_answered_under_every_flood(stack: Stack, tmp_path: Path) -> None:
    figures = tmp_path / "floods.json"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "loadtest.floods",
            "--seconds",
            "1",
            "--way",
            "direct",
            "--json",
            str(figures),
        ],
        cwd=ROOT,
        env={**os.environ, "OPENLINE_VAR": str(stack.var)},
        check=True,
    )
    rows = json.loads(figures.read_text("utf-8"))
    assert len({row["flood"] for row in rows}) >= 29
    assert not [row for row in rows if row["lost"]]
    slow = [row for row in rows if row["p99"] > MOST + 10 * row["calm_p99"]]
    assert not slow, slow
