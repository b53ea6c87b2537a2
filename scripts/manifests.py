"""The manifests of an overlay as kubectl builds them, from a copy of the sources with secrets of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from scripts.k8s_secrets import ROOT

SOURCES = ("deploy", "k8s", "nginx", "web")
OVERLAYS = ("dev", "load", "sentinel", "cluster", "prod")
OLDEST, NEWEST = "1.29", "1.37"
"""The Kubernetes versions that the manifests are checked against."""
_URLS = {
    "REDIS_URL": "rediss://:password@redis.example.org:6379/0",
    "DATABASE_URL": "postgresql://openline:password@postgres.example.org/openline",
}


def kubectl() -> str:
    """The path of a kubectl that knows components. Raises FileNotFoundError."""
    for found in (ROOT / ".tools" / "bin" / "kubectl", shutil.which("kubectl")):
        if found and Path(found).exists() and _knows_components(str(found)):
            return str(found)
    raise FileNotFoundError(
        "kubectl 1.27 or newer is missing; scripts/setup.sh manifests installs it"
    )


def _knows_components(path: str) -> bool:
    said = subprocess.run(  # noqa: S603 - a program of that name
        [path, "version", "--client"], capture_output=True, text=True, check=False
    )
    return bool(re.search(r"Kustomize Version: v([5-9]|\d\d)\.", said.stdout))


def copy(folder: Path) -> Path:
    """A copy of what kustomize reads, without secrets of this checkout; answers its folder of overlays."""
    for name in SOURCES:
        ignored = shutil.ignore_patterns("secrets", "__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder / "k8s" / "overlays"


def make_secrets(overlays: Path) -> None:
    """What `make k8s-secrets` makes, with stores for prod that do not exist. Raises CalledProcessError."""
    for overlay in ("load", "sentinel", "cluster", "prod"):  # load makes those of dev as well
        command = [sys.executable, "-m", "scripts.k8s_secrets", overlay, "--overlays", overlays]
        environment = {**os.environ, **_URLS}
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)  # noqa: S603


def build(overlay: Path) -> str:
    """The YAML that `kubectl apply -k` would apply. Raises RuntimeError with what kubectl said."""
    built = subprocess.run(  # noqa: S603 - kubectl
        [kubectl(), "kustomize", str(overlay)], capture_output=True, text=True, check=False
    )
    if built.returncode or built.stderr:
        raise RuntimeError(built.stderr)
    return built.stdout


def documents(text: str) -> list[dict[str, Any]]:
    """The objects of a YAML text."""
    return [document for document in yaml.safe_load_all(text) if document]


def pods(objects: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """`(name, pod spec)` of each workload."""
    return [
        (one["metadata"]["name"], one["spec"]["template"]["spec"])
        for one in objects
        if one["kind"] in ("Deployment", "StatefulSet", "Job")
    ]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """All containers of a pod spec, those that run first included."""
    return [*pod.get("initContainers", []), *pod["containers"]]
