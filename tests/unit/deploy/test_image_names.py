"""Images: those of others have exact tags, the same in compose and Kubernetes; ours cannot be pulled from a stranger."""

from __future__ import annotations

import functools
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
OURS = ("gateway", "auth", "publisher", "loadtest")


@functools.cache
def kustomized(path: str) -> list[dict[str, str]]:
    return yaml.safe_load((ROOT / path).read_text("utf-8"))["images"]


def of_compose() -> dict[str, str]:
    """Tags by name of the images of others, as compose lists them."""
    defaults = [
        re.fullmatch(r"\$\{OPENLINE_\w+_IMAGE:-(.+):(.+)\}", value)
        for value in COMPOSE["x-images"].values()
    ]
    return {found[1]: found[2] for found in defaults if found}


def of_kubernetes() -> dict[str, str]:
    return {
        one["name"]: one["newTag"] for one in kustomized("k8s/components/images/kustomization.yaml")
    }


def test_the_images_of_others_are_the_same_in_compose_and_kubernetes() -> None:
    ours = {f"localhost/openline/{name}": "dev" for name in OURS}
    assert len(of_compose()) == len(COMPOSE["x-images"]) == 8
    assert of_kubernetes() == of_compose() | ours


def test_the_images_of_others_have_exact_tags() -> None:
    for name, tag in of_compose().items():
        # PostgreSQL has two numbers, all others three.
        exact = r"\d+\.\d+(-alpine)?" if name == "postgres" else r"v?\d+\.\d+\.\d+(-alpine)?"
        assert re.fullmatch(exact, tag), f"{name}:{tag}"


def test_compose_names_no_image_elsewhere() -> None:
    listed = set(COMPOSE["x-images"].values())
    for name, service in COMPOSE["services"].items():
        ours = service["image"].startswith("${OPENLINE_REGISTRY:-localhost/}openline/")
        assert ours or service["image"] in listed, name


def test_compose_never_pulls_ours_from_a_registry_that_nobody_named() -> None:
    ours = [one for one in COMPOSE["services"].values() if "openline/" in one["image"]]
    assert len(ours) == len(OURS) + 1  # two services run the load's image
    assert {one["pull_policy"] for one in ours} == {"${OPENLINE_PULL_POLICY:-never}"}


def test_a_release_builds_each_image_for_both_machines_with_its_contents_listed() -> None:
    bake = json.loads((ROOT / "deploy/bake.json").read_text("utf-8"))
    targets = {name: one for name, one in bake["target"].items() if name != "common"}
    assert set(targets) == set(bake["group"]["default"]["targets"]) == set(OURS)
    common = bake["target"]["common"]
    assert common["platforms"] == ["linux/amd64", "linux/arm64"]
    assert "type=sbom" in common["attest"]
    # A release without a registry must end with an error, not at a stranger's.
    assert bake["variable"]["REGISTRY"]["default"].endswith(".invalid")
    for name, one in targets.items():
        assert (one["target"], one["inherits"]) == (name, ["common"])
        assert one["tags"] == [f"${{REGISTRY}}/openline/{name}:${{VERSION}}"]


@pytest.mark.parametrize("path", sorted((ROOT / "k8s").rglob("*.yaml")), ids=lambda path: path.name)
def test_manifests_name_only_images_of_the_list(path: Path) -> None:
    named = re.findall(r"^\s*image: (\S+)$", path.read_text("utf-8"), re.MULTILINE)
    assert set(named) <= set(of_kubernetes())


def test_production_has_a_registry_that_cannot_exist_until_one_is_named() -> None:
    images = kustomized("k8s/overlays/prod/kustomization.yaml")
    assert {one["name"] for one in images} == {
        f"localhost/openline/{name}" for name in OURS if name != "loadtest"
    }
    assert all(one["newName"].startswith("registry.invalid/openline/") for one in images)


def test_ours_stand_on_the_newest_python_that_is_supported() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions = [
        int(line.rpartition(".")[2])
        for line in project["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    ]
    assert versions == [11, 12, 13, 14]
    assert project["requires-python"] == f">=3.{versions[0]},<3.{versions[-1] + 1}"
    assert f"ARG PYTHON=python:3.{versions[-1]}-slim\n" in dockerfile
    bounds = f"(3, {versions[0]}) <= sys.version_info[:2] < (3, {versions[-1] + 1})"
    assert bounds in (ROOT / "scripts/setup.sh").read_text("utf-8")
