"""Writes the rules of Prometheus as the object that the Prometheus operator takes: `make docs`.

An object holds its rules itself, so kustomize cannot make it from the files; a test tells when it is stale.
"""

from __future__ import annotations

import sys
from typing import Any

import yaml

from scripts import generated
from scripts.generated import ROOT

SOURCES = ROOT / "deploy" / "prometheus" / "rules"
TARGET = ROOT / "k8s" / "components" / "monitoring" / "rules.yaml"
HEAD = (
    "# Written by `python -m scripts.prometheus_rules` from deploy/prometheus/rules; do not edit.\n"
)


def render() -> str:
    """The object's YAML."""
    groups: list[Any] = []
    for path in sorted(SOURCES.glob("*.yml")):
        groups += yaml.safe_load(path.read_text("utf-8"))["groups"]
    rules = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "openline"},
        "spec": {"groups": groups},
    }
    return HEAD + yaml.safe_dump(rules, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    sys.exit(generated.write({TARGET: render()}))
