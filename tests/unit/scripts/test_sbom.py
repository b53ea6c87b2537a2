"""The bill of materials lists each package of an image's lock once, with what the lock says of it."""

from __future__ import annotations

import json
import sys

import pytest

from scripts import sbom
from services.kernel.ops.version import version
from tests.unit.deploy.test_requirements import locked


@pytest.mark.parametrize("image", sbom.IMAGES)
def test_it_has_the_versions_and_hashes_of_the_lock(image, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sbom", str(tmp_path)])
    sbom.main()
    found = json.loads((tmp_path / f"openline-{image}.cdx.json").read_text())
    assert found["bomFormat"] == "CycloneDX"
    assert found["metadata"]["component"]["version"] == version()
    listed = {
        one["name"]: (one["version"], frozenset(f"sha256:{h['content']}" for h in one["hashes"]))
        for one in found["components"]
    }
    assert len(listed) == len(found["components"])
    assert listed == locked(f"deploy/requirements/{image}.txt")
    assert all(
        one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}" for one in found["components"]
    )


def test_without_a_folder_it_says_how_to_call_it(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sbom"])
    with pytest.raises(SystemExit, match="usage"):
        sbom.main()
