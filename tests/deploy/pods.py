"""Pods from their own YAML, run by podman on one network with names, as a node of a cluster would."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import math
import os
import resource
import socket
import subprocess
import time
from pathlib import Path

import httpx2
import yaml

from scripts import manifests

SEARCH = "dns.podman"
"""The search domain that podman's DNS gives to pods; names are those of the pods and of Services."""


class Node:
    """Runs pods until closed. Probes are its own doing, as they are the kubelet's."""

    def __init__(self, folder, name):
        self._folder = Path(folder)
        self._network = name
        self._files = []
        settings = self._folder / "containers.conf"
        # netavark: its networks have DNS. runc comes with Docker; crun, which podman prefers and may have brought along,
        # refuses machines with both versions of cgroups. podman's usual limits may be above this machine's.
        settings.write_text(
            '[network]\nnetwork_backend = "netavark"\n[engine]\nruntime = "runc"\n'
            f"[containers]\ndefault_ulimits = {json.dumps(ulimits())}\n"
        )
        self._environment = {**os.environ, "CONTAINERS_CONF": str(settings)}
        self.podman("network", "create", name)

    def podman(self, *arguments, check=True, timeout=300):
        """Run podman; answers what it printed. Raises AssertionError with it when it fails."""
        done = subprocess.run(
            ["podman", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"podman {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def load(self, images):
        """Take images over from Docker, those that are not here yet."""
        missing = [image for image in images if self._id(image) != docker_id(image)]
        if missing:
            archive = self._folder / "images.tar"
            subprocess.run(["docker", "save", "-o", archive, *missing], check=True, timeout=300)
            self.podman("load", "-q", "-i", str(archive), timeout=600)
            archive.unlink()

    def _id(self, image):
        return self.podman("image", "inspect", "-f", "{{.Id}}", image, check=False).strip()

    def start(self, name, pod, objects):
        """Start a pod, with the ConfigMaps that its variables come from, under the names of the Services that select it."""
        configs = [one for one in objects if one["kind"] == "ConfigMap"]
        path = self._folder / f"{name}.yaml"
        described = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod}
        path.write_text(yaml.safe_dump_all([*configs, described]), "utf-8")
        self._files.append(path)
        aliases = [f"alias={service}" for service in services(objects, name) if service != name]
        network = ":".join(filter(None, [self._network, ",".join(aliases)]))
        self.podman("kube", "play", "--network", network, str(path))

    def address(self, name):
        """The pod's address on the network."""
        infra = self.podman("pod", "inspect", "-f", "{{.InfraContainerID}}", name).strip()
        networks = json.loads(self.podman("inspect", infra))[0]["NetworkSettings"]["Networks"]
        return networks[self._network]["IPAddress"]

    def passes(self, name, container, probe):
        """Whether a container passes a probe now, as its manifest describes it."""
        if "exec" in probe:
            command = ["exec", f"{name}-{container['name']}", *probe["exec"]["command"]]
            with contextlib.suppress(AssertionError):
                self.podman(*command)
                return True
            return False
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        if "tcpSocket" in probe:
            return reaches(self.address(name), ports[probe["tcpSocket"]["port"]])
        get = probe["httpGet"]
        with contextlib.suppress(httpx2.HTTPError):
            url = f"http://{self.address(name)}:{ports[get['port']]}{get['path']}"
            return httpx2.get(url, timeout=probe.get("timeoutSeconds", 1)).is_success
        return False

    def wait(self, name, pod, kind):
        """Wait until all containers of a pod pass their probe of a kind, as long as its startup may take."""
        for container in pod["containers"]:
            startup = container["startupProbe"]
            deadline = time.monotonic() + startup["periodSeconds"] * startup["failureThreshold"]
            while not self.passes(name, container, container[kind]):
                assert time.monotonic() < deadline, f"{name}: {kind}\n{self.logs(name)}"
                time.sleep(0.5)

    def finish(self, name, container):
        """Wait until a container that runs once has ended; answers its exit status."""
        return int(self.podman("wait", f"{name}-{container}", timeout=120))

    def stop(self, name, grace):
        """End a pod's first container as the kubelet does, within a time in seconds; answers its exit status."""
        container = f"{name}-{name}"
        self.podman("stop", "-t", str(grace), container, timeout=grace + 60)
        return int(self.podman("inspect", "-f", "{{.State.ExitCode}}", container))

    def logs(self, name):
        """What the containers of a pod have written."""
        command = ["podman", "pod", "logs", "--tail", "40", name]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    def close(self):
        """End all pods and forget them and their volumes."""
        for path in reversed(self._files):
            self.podman("kube", "down", str(path), check=False)
            self.podman("pod", "rm", "-f", "-t", "0", path.stem, check=False)
        self.podman("network", "rm", "-f", self._network, check=False)


def services(objects, name):
    """The Services that select a workload's pods."""
    return [
        one["metadata"]["name"]
        for one in objects
        if one["kind"] == "Service" and one["spec"]["selector"]["app.kubernetes.io/name"] == name
    ]


def ulimits():
    """What this process may have, as podman writes it; of processes no more than there are ids, as podman itself."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    ids = int(Path("/proc/sys/kernel/pid_max").read_text("utf-8"))
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    processes = ids if processes == resource.RLIM_INFINITY else min(ids, processes)
    return [f"nofile={files}:{files}", f"nproc={processes}:{processes}"]


def docker_id(image):
    """The id of an image in Docker, as podman writes it."""
    command = ["docker", "image", "inspect", "-f", "{{.Id}}", image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip().removeprefix("sha256:")


def reaches(host, port):
    """Whether something listens."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 2):
        return True
    return False


def playable(objects, name, folder):
    """A workload's pod, with what is a node's to do done: its volumes are folders, and its probes are left out.

    Ports go as well: podman would publish them.
    """
    pod = copy.deepcopy(dict(manifests.pods(objects))[name])
    group = pod["securityContext"]["fsGroup"]
    # Else it starts containers again that run once before the others.
    pod["restartPolicy"] = "OnFailure"
    for container in manifests.containers(pod):
        for field in ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle", "ports"):
            container.pop(field, None)
        for variable in container.get("env", []):
            if "resourceFieldRef" in variable.get("valueFrom", {}):
                variable["value"] = str(cpus(pod, variable.pop("valueFrom")["resourceFieldRef"]))
    mounts = [mount for c in manifests.containers(pod) for mount in c.get("volumeMounts", [])]
    described = {volume["name"]: volume for volume in pod.get("volumes", [])}
    pod["volumes"] = []
    for volume in sorted({mount["name"] for mount in mounts}):
        path = folder / name / volume
        _fill(path, described.get(volume, {}), objects, group)
        host = {"path": str(path), "type": "Directory"}
        pod["volumes"].append({"name": volume, "hostPath": host})
    return pod


def cpus(pod, wanted):
    """The CPU limit of the container that a field names, in whole cores, rounded up as the kubelet does."""
    assert wanted["resource"] == "limits.cpu"
    (found,) = [c for c in pod["containers"] if c["name"] == wanted["containerName"]]
    given = str(found["resources"]["limits"]["cpu"])
    return math.ceil(float(given.removesuffix("m")) / (1000 if given.endswith("m") else 1))


def _fill(path, volume, objects, group):
    """A volume's folder as the kubelet makes it: an empty one is everybody's, a secret's files only the group's."""
    path.mkdir(parents=True)
    mode = 0o644
    for kind, source in _sources(volume):
        mode = source.get("defaultMode", volume.get("projected", {}).get("defaultMode", mode))
        places = {item["key"]: item["path"] for item in source.get("items", [])}
        for key, value in _data(objects, kind, source.get("secretName") or source["name"]).items():
            if places and key not in places:
                continue
            file = path / places.get(key, key)
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(value)
            os.chown(file, 0, group)
            file.chmod(mode)
    os.chown(path, 0, group)
    path.chmod(0o755 if any(path.iterdir()) else 0o2777)


def _sources(volume):
    """`(kind, source)` of each ConfigMap and Secret that a volume shows."""
    for part in [volume, *volume.get("projected", {}).get("sources", [])]:
        for name, kind in {"configMap": "ConfigMap", "secret": "Secret"}.items():
            if name in part:
                yield kind, part[name]


def _data(objects, kind, name):
    """The files of a ConfigMap or Secret."""
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    decode = base64.b64decode if kind == "Secret" else str.encode
    return {key: decode(value) for key, value in found["data"].items()}
