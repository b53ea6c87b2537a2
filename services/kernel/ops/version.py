"""Which version of Openline this is."""

from __future__ import annotations

import importlib.metadata

from prometheus_client import REGISTRY, CollectorRegistry, Info

UNPACKED = "0.1.0"
"""Where the distribution is not installed but run from its sources."""


def version() -> str:
    """The version of the installed distribution."""
    try:
        return importlib.metadata.version("openline")
    except importlib.metadata.PackageNotFoundError:
        return UNPACKED


def build_info(service: str, *, registry: CollectorRegistry = REGISTRY, **labels: str) -> Info:
    """`openline_<service>_build_info`, always 1: its labels say which version runs."""
    info = Info(f"openline_{service}_build", "Which version runs", registry=registry)
    info.info({"version": version(), **labels})
    return info
