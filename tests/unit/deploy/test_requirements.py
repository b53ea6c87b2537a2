"""The locks of the images agree with the lock of the whole, and hold what each service imports."""

from __future__ import annotations

import functools
import re
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("gateway", "auth", "publisher")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
GROUPS = PROJECT["dependency-groups"]
EXTRAS = PROJECT["project"]["optional-dependencies"]


def locked(path: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes of each package of a lock."""
    text = (ROOT / path).read_text("utf-8").replace("\\\n", " ")
    found = re.findall(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==(\S+)(.*)$", text, re.MULTILINE)
    return {
        name: (version, frozenset(re.findall(r"sha256:[0-9a-f]{64}", rest)))
        for name, version, rest in found
    }


def pinned_extras(path: str) -> set[tuple[str, str]]:
    """Each package with each of its extras that a lock pins by name."""
    pins = re.findall(
        r"^([a-z0-9-]+)\[([a-z0-9,-]+)\]==", (ROOT / path).read_text("utf-8"), re.MULTILINE
    )
    return {(name, extra) for name, extras in pins for extra in extras.split(",")}


def needed_extras(path: str) -> set[tuple[str, str]]:
    """Each package with each of its extras that the packages of a lock ask for on this platform."""
    needed = set()
    for name in locked(path):
        try:
            asked = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # of another platform
            continue
        for one in asked:
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                needed |= {(canonicalize_name(one.name), extra) for extra in one.extras}
    return needed


def wanted(group: str) -> set[str]:
    """What a dependency group asks for, the groups in it included."""
    names: set[str] = set()
    for entry in GROUPS[group]:
        names |= wanted(entry["include-group"]) if isinstance(entry, dict) else {entry}
    return names


# To parse every source would take a second.
IMPORTED = re.compile(r"^ *(?:from|import) (\w+)[\w.]*(?: import\b| as \w+$|$)", re.MULTILINE)


@functools.cache
def owners() -> Mapping[str, list[str]]:
    """The packages that hold each top-level module here."""
    return packages_distributions()


@functools.cache
def imported(folder: Path) -> set[str]:
    """Top-level modules that the sources of a folder import, those of Python and ours excluded."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        names |= set(IMPORTED.findall(path.read_text("utf-8")))
    return names - set(sys.stdlib_module_names) - {"services"}


@pytest.mark.parametrize("image", [*SERVICES, "loadtest"])
def test_a_lock_of_an_image_has_the_versions_and_hashes_of_the_whole(image: str) -> None:
    whole = locked("requirements-dev.txt" if image == "loadtest" else "requirements.txt")
    part = locked(f"deploy/requirements/{image}.txt")
    assert part
    assert {name: whole.get(name) for name in part} == part
    assert all(hashes for _, hashes in part.values())


@pytest.mark.parametrize("path", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_pins_packages_with_the_extras_that_others_ask_for(path: str) -> None:
    # pip looks for `name[extra]` by itself: without a pin of its own the next release of `name` ends the installation,
    # because it has no hash.
    needed = needed_extras(path)
    assert needed <= pinned_extras(path)
    assert ("coverage", "toml") in needed or path != "requirements-dev.txt"


def test_together_the_services_ask_for_what_the_project_does() -> None:
    assert set().union(*(wanted(name) for name in SERVICES)) == set(
        PROJECT["project"]["dependencies"]
    )


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_needs_what_the_publisher_needs(service: str) -> None:
    # The Dockerfile installs it once for all.
    base = locked("deploy/requirements/publisher.txt")
    assert base.items() <= locked(f"deploy/requirements/{service}.txt").items()


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_what_its_service_imports(service: str) -> None:
    lock = locked(f"deploy/requirements/{service}.txt")
    modules = imported(ROOT / "services" / service) | imported(ROOT / "services" / "kernel")
    if service == "publisher":  # whose image has the commands of handovers too
        modules |= imported(ROOT / "services" / "handover")
    for module in modules:
        names = {re.sub(r"[-_.]+", "-", name).lower() for name in owners()[module]}
        assert names & set(lock), f"{module} is of {names}, which the lock does not have"


@pytest.mark.parametrize("image", [*SERVICES, "loadtest"])
def test_a_lock_of_an_image_names_no_index(image: str) -> None:
    text = (ROOT / f"deploy/requirements/{image}.txt").read_text("utf-8")
    assert "://" not in text
    assert "--index" not in text


def test_no_file_of_ours_imports_the_httpx_that_nobody_releases() -> None:
    found = {
        name
        for folder in ("services", "deploy", "scripts", "loadtest", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(
            r"^\s*(?:import|from) (http\w+)", path.read_text("utf-8"), re.MULTILINE
        )
    }
    assert "httpx2" in found
    assert not {"httpx", "httpcore"} & found


@pytest.mark.parametrize("lock", ["requirements.txt", "deploy/requirements/loadtest.txt"])
def test_what_runs_does_without_the_httpx_that_nobody_releases(lock: str) -> None:
    assert locked(lock)
    assert not {"httpx", "httpcore"} & set(locked(lock))


def test_no_example_of_the_docs_imports_the_httpx_that_nobody_releases() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    assert re.search(r"^\s*import httpx2\b", text, re.MULTILINE)
    assert not re.findall(r"^\s*(?:import|from) httpx\b.*", text, re.MULTILINE)


def test_each_package_that_we_name_has_its_line_in_the_page_and_no_other_has() -> None:
    page = (ROOT / "docs/dependencies.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.MULTILINE)
    named = {Requirement(line).name for line in PROJECT["project"]["dependencies"]}
    named |= {Requirement(line).name for group in GROUPS for line in wanted(group)}
    named |= {Requirement(line).name for lines in EXTRAS.values() for line in lines}
    assert len(listed) == len(set(listed))
    assert set(listed) == named
