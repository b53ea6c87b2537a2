"""Pod Security "restricted", and what these manifests promise beyond it, asserted for a pod.

Source: kubernetes.io, Pod Security Standards. An API server refuses what breaks them, checkov does not know all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scripts.manifests import containers

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"}
_VOLUMES |= {"projected", "secret"}
_HOST = ("hostNetwork", "hostPID", "hostIPC", "hostUsers")


def problems(pod: dict[str, Any]) -> list[str]:
    """What a pod spec has that it must not, or has not that it must."""
    found = [*_of_pod(pod)]
    for container in containers(pod):
        found += [f"{container['name']}: {what}" for what in _of_container(container, pod)]
    return found


def _of_pod(pod: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name} is set" for name in _HOST if pod.get(name))
    for volume in pod.get("volumes", []):
        if not set(volume) - {"name"} <= _VOLUMES:
            yield f"volume {volume['name']} is of a kind that restricted refuses"
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} may fill the node"
    if pod.get("securityContext", {}).get("sysctls"):
        yield "sysctls are set"
    if pod.get("automountServiceAccountToken") is not False or not pod.get("serviceAccountName"):
        yield "no service account of its own without a token"
    if pod.get("enableServiceLinks") is not False:
        yield "enableServiceLinks adds variables that are not ours"


def _of_container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own: dict[str, Any] = container.get("securityContext", {})
    both = {**pod.get("securityContext", {}), **own}
    required = {
        "runAsNonRoot": both.get("runAsNonRoot") is True,
        "runAsUser is a number above 0": both.get("runAsUser", 0) > 0,
        "seccompProfile RuntimeDefault": both.get("seccompProfile") == {"type": "RuntimeDefault"},
        "allowPrivilegeEscalation false": own.get("allowPrivilegeEscalation") is False,
        "capabilities drop ALL and add none": own.get("capabilities") == {"drop": ["ALL"]},
        "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
        "not privileged": not own.get("privileged"),
        "no host ports": not any("hostPort" in port for port in container.get("ports", [])),
        "requests and limits of CPU and memory": _bounded(container.get("resources", {})),
        "imagePullPolicy IfNotPresent": container.get("imagePullPolicy") == "IfNotPresent",
    }
    yield from (f"misses {what}" for what, there in required.items() if not there)


def _bounded(resources: dict[str, Any]) -> bool:
    return all(set(resources.get(kind, {})) >= {"cpu", "memory"} for kind in ("requests", "limits"))
