"""Writes what each image holds of Python packages, as CycloneDX 1.6: `python -m scripts.sbom FOLDER`.

Read from the locks that images are built from, so it needs neither an image nor a registry. Packages of the base image
are in the attestation that the release's build adds.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from scripts.generated import ROOT
from services.kernel.ops.version import version

IMAGES = ("gateway", "auth", "publisher", "loadtest")
_PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==([^\s\\;]+)(.*)$", re.MULTILINE)
_HASH = re.compile(r"sha256:([0-9a-f]{64})")


def components(lock: str) -> list[dict[str, Any]]:
    """The packages of a lock. Of each, all files that the lock allows, whatever the platform."""
    found = {
        name: {
            "type": "library",
            "name": name,
            "version": number,
            "purl": f"pkg:pypi/{name}@{number}",
            "bom-ref": f"pkg:pypi/{name}@{number}",
            "hashes": [{"alg": "SHA-256", "content": one} for one in _HASH.findall(rest)],
        }
        for name, number, rest in _PIN.findall(lock.replace("\\\n", " "))
    }
    return [found[name] for name in sorted(found)]


def document(image: str, lock: str) -> dict[str, Any]:
    """The bill of one image."""
    about = {"type": "container", "name": f"openline/{image}", "version": version()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": about},
        "components": components(lock),
    }


def main() -> None:
    """Write one file an image into the folder that is named."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - one argument
        sys.exit("usage: python -m scripts.sbom FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for image in IMAGES:
        lock = (ROOT / f"deploy/requirements/{image}.txt").read_text("utf-8")
        text = json.dumps(document(image, lock), indent=2) + "\n"
        (folder / f"openline-{image}.cdx.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
