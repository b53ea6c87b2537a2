"""Which version of Openline this is."""

from __future__ import annotations

import importlib.metadata
import tomllib
from functools import cache
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Info

DISTRIBUTION = "openline-server"
PROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"
"""Beside the services in a checkout and in an image; not where the distribution is installed."""


@cache
def version() -> str:
    """The version that `pyproject.toml` says: read there, or from the distribution that was built from it."""
    if PROJECT.is_file():
        return str(tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"])
    return importlib.metadata.version(DISTRIBUTION)


def build_info(service: str, *, registry: CollectorRegistry = REGISTRY, **labels: str) -> Info:
    """`openline_<service>_build_info`, always 1: its labels say which version runs."""
    info = Info(f"openline_{service}_build", "Which version runs", registry=registry)
    info.info({"version": version(), **labels})
    return info
