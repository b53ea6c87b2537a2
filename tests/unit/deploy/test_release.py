"""The workflow of a release: whatever leaves the machine leaves it on a tag only."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf-8"))
ON_A_TAG = "startsWith(github.ref, 'refs/tags/v')"
PUBLISHING = re.compile(
    r"publish@|npm publish|--push|release create|login-action|twine upload|docker push"
)


def test_each_step_that_publishes_is_for_tags_alone():
    found = 0
    for job in WORKFLOW["jobs"].values():
        for step in job["steps"]:
            text = f"{step.get('uses', '')} {step.get('run', '')}"
            if PUBLISHING.search(text):
                found += 1
                assert ON_A_TAG in (step.get("if"), job.get("if")), text
    assert found == 5


def test_a_tag_that_is_not_the_version_publishes_nothing():
    (check,) = [
        s for s in WORKFLOW["jobs"]["packages"]["steps"] if "GITHUB_REF_NAME" in s.get("run", "")
    ]
    assert "openline_server --version" in check["run"]
    assert "packages" in WORKFLOW["jobs"]["publish"]["needs"]


def test_it_reads_no_secret_outside_the_steps_that_publish():
    for job in WORKFLOW["jobs"].values():
        for step in job["steps"]:
            if "secrets." in str(step):
                assert ON_A_TAG in (step.get("if"), job.get("if")), step


def test_the_checklist_names_each_place_that_has_the_version():
    page = (ROOT / "docs/release.md").read_text("utf-8")
    for place in (
        "pyproject.toml",
        "clients/python/pyproject.toml",
        "clients/js/package.json",
        "CHANGELOG.md",
    ):
        assert place in page
