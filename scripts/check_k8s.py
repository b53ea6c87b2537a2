"""Checks the manifests of every overlay: `make k8s-check`.

Built by kubectl, valid for the oldest and the newest version claimed, restricted, and clean for checkov.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]

from scripts import manifests, pod_security
from scripts.k8s_secrets import ROOT
from scripts.manifests import NEWEST, OLDEST

CHECKOV = ROOT / ".venv-tools" / "bin" / "checkov"
SKIPPED = {
    "CKV_K8S_15": "images that were loaded into kind or minikube exist nowhere to be pulled from",
    "CKV_K8S_43": "which digests there are is known to the registry that the images were pushed to",
    "CKV_DOCKER_7": "the base image is an argument, whose default has a tag",
}
CUSTOM = {"PodMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, for which there are no schemas here."""


def main() -> int:
    """0 when nothing is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        overlays = manifests.copy(Path(folder))
        manifests.make_secrets(overlays)
        faults = [fault for name in manifests.OVERLAYS for fault in _check(overlays, name)]
        faults += _checkov([Path(folder) / f"{name}.yaml" for name in manifests.OVERLAYS])
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    sys.stdout.write(f"manifests: {'FAULTS' if faults else 'clean'}\n")
    return int(bool(faults))


def _check(overlays: Path, name: str) -> list[str]:
    text = manifests.build(overlays / name)
    (overlays.parents[1] / f"{name}.yaml").write_text(text, "utf-8")
    objects = manifests.documents(text)
    found = [fault for version in (OLDEST, NEWEST) for fault in invalid(objects, version)]
    for pod, spec in manifests.pods(objects):
        found += [f"{pod}: {problem}" for problem in pod_security.problems(spec)]
    return [f"{name}: {fault}" for fault in found]


def invalid(objects: list[dict[str, Any]], version: str) -> list[str]:
    """What the schemas of a Kubernetes version, made strict, find wrong."""
    faults = []
    for one in objects:
        if one["kind"] in CUSTOM:
            continue
        what = f"{one['kind']} {one['metadata']['name']} for Kubernetes {version}"
        try:
            used = kubernetes_validate.validate(one, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as e:
            faults.append(f"{what}: {e}")
        else:
            if used != version:
                faults.append(f"{what}: there is only a schema of {used}")
    return faults


def _checkov(files: list[Path]) -> list[str]:
    if not CHECKOV.exists():
        return ["checkov is missing: scripts/setup.sh manifests"]
    command = [str(CHECKOV), "--skip-download", "--quiet", "--compact"]
    command += ["--framework", "kubernetes", "dockerfile", "--skip-check", ",".join(SKIPPED)]
    for path in (*files, ROOT / "deploy" / "Dockerfile"):
        command += ["-f", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return [said.stdout + said.stderr] if said.returncode else []


if __name__ == "__main__":
    sys.exit(main())
