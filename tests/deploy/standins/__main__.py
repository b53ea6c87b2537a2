"""Sees to it that the images of the compose file are there: pulled, or else built from Debian's packages.

`python -m tests.deploy.standins`. Takes two minutes where no registry can be reached, and nothing when done. Grafana is
in no Debian package: where it cannot be pulled, tests run without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
LABEL = "openline.standin"
BASE = "openline-standin/debian"
# An image is made whole or not at all: its packages need no fsync each.
_LEAN = "force-unsafe-io\n" + "".join(
    f"path-exclude /usr/share/{name}/*\n" for name in ("doc", "locale", "man")
)
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def main() -> int:
    """0 when all are there."""
    wanted = {"python": base_of_ours(), **names()}
    wanted.pop("grafana")
    missing = {target: image for target, image in wanted.items() if not _good(image)}
    if missing and not all(_pull(image) for image in missing.values()):
        _base()
        _build(missing)
    return 0


def names() -> dict[str, str]:
    """The images that are not ours, by their names in the compose file's list."""
    listed = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))["x-images"]
    return {name: _default(str(value)) for name, value in listed.items()}


def base_of_ours() -> str:
    """The image that ours are built on, by the Dockerfile."""
    text = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    found = re.search(r"^ARG PYTHON=(\S+)$", text, re.MULTILINE)
    assert found
    return found[1]


def _default(value: str) -> str:
    found = re.fullmatch(r"\$\{(\w+):-(.+)\}", value)
    assert found, value
    return os.environ.get(found[1]) or found[2]


def _good(image: str) -> bool:
    """Whether the image is a pulled one, or a stand-in of the present kind."""
    found = _docker("image", "inspect", image, check=False)
    if found.returncode:
        return False
    described = json.loads(found.stdout)[0]
    labels = described["Config"].get("Labels") or {}
    return bool(described.get("RepoDigests")) or labels.get(LABEL) == _kind()


def _kind() -> str:
    return hashlib.sha256((HERE / "Dockerfile").read_bytes()).hexdigest()[:12]


def _pull(image: str) -> bool:
    try:
        return _docker("pull", "-q", image, check=False, timeout=300).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _base() -> None:
    """The image that all others stand on, by debootstrap from this machine's own mirror."""
    if not _docker("image", "inspect", BASE, check=False).returncode:
        return
    if not shutil.which("debootstrap"):
        raise SystemExit(
            "no registry can be reached, and images are made by debootstrap, which is not installed; "
            "as root: apt-get install debootstrap"
        )
    _say("making a base image with debootstrap")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        options = ["--variant=minbase", "--include=ca-certificates"]
        _run(["debootstrap", *options, "bookworm", str(root), _mirror()])
        (root / "etc/dpkg/dpkg.cfg.d/lean").write_text(_LEAN)
        # This machine's own list of certificates: packages may come through something that signs with its own.
        (root / "etc/ssl/certs/ca-certificates.crt").write_bytes(_CERTIFICATES.read_bytes())
        for stale in (root / "var/cache/apt/archives").glob("*.deb"):
            stale.unlink()
        tar = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
        change = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        subprocess.run(["docker", "import", "-c", change, "-", BASE], stdin=tar.stdout, check=True)
        assert tar.wait() == 0


def _mirror() -> str:
    found = _run(["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"])
    return found.stdout.splitlines()[0]


def _build(missing: dict[str, str]) -> None:
    """Through compose: it builds also where the command line lacks its builder."""
    _say(f"building stand-ins for {', '.join(missing.values())}")
    services = {
        target: {
            "image": image,
            "build": {"context": str(HERE), "target": target, "labels": {LABEL: _kind()}},
        }
        for target, image in missing.items()
    }
    project = ["docker", "compose", "-p", "openline-standins", "-f", "-", "build"]
    _run(project, input=json.dumps({"services": services}))


def _docker(*arguments: str, check: bool = True, timeout: float = 60):
    return _run(["docker", *arguments], check=check, timeout=timeout)


def _run(command, *, check: bool = True, timeout: float = 600, input: str | None = None):
    done = subprocess.run(
        command, input=input, capture_output=True, text=True, timeout=timeout, check=False
    )
    if check and done.returncode:
        sys.stderr.write(done.stdout[-3000:] + done.stderr[-3000:])
        raise SystemExit(f"{command[0]} {command[1]} failed")
    return done


def _say(line: str) -> None:
    sys.stdout.write(f"openline: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
