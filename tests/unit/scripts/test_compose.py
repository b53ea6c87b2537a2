"""What `make up` and its sisters ask of Docker, and what they refuse before they ask."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[3]
COPIED = ("deploy", "nginx", "scripts", "web")
DOCKER = """#!/bin/sh
echo "$@" >>"$ASKED"
echo "$COMPOSE_FILE $OPENLINE_SECRETS" >"$ASKED.with"
"""
"""Writes down what it is asked, and by which files."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", "secrets", "tls", ".env")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


def run(checkout: Path, *arguments: str, **variables: str) -> tuple[int, str, list[str]]:
    """Exit status, what was said to whoever ran it, and what Docker was asked but for whether it is there."""
    programs = checkout.parent / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    asked = checkout.parent / "asked"
    asked.write_text("")
    done = subprocess.run(
        ["/bin/sh", str(checkout / "scripts/compose.sh"), *arguments],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "ASKED": str(asked), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = asked.read_text().splitlines()
    return done.returncode, done.stderr, [s for s in lines if s not in ("compose version", "info")]


def test_images_are_built_of_a_checkout_that_is_closed_to_others(checkout: Path) -> None:
    closed = checkout / "services/kernel/domain"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    (checkout / "deploy/namespaces.toml").chmod(0o600)
    assert run(checkout, "images") == (0, "", ["compose --profile load build"])


@pytest.mark.parametrize("closed", ["web", "nginx/openline.conf"])
def test_files_to_mount_that_are_closed_to_others_are_refused(checkout: Path, closed: str) -> None:
    (checkout / closed).chmod(0o700)
    status, said, asked = run(checkout, "up")
    assert (status, asked) == (1, [])
    assert said.startswith(f"openline: containers cannot read {closed}; chmod -R go+rX nginx web, ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("count", ["", "three", "-1"])
def test_a_number_of_gateways_is_needed_to_scale(checkout: Path, count: str) -> None:
    assert run(checkout, "scale", count) == (1, "openline: how many gateways? make scale N=3\n", [])


def test_a_registry_is_needed_to_push_and_gets_all_images(checkout: Path) -> None:
    status, said, asked = run(checkout, "push", "")
    assert (status, asked) == (1, [])
    assert "make images-push REGISTRY=registry.example.org/team" in said
    _, _, asked = run(checkout, "push", "registry.example.org/team/")
    pushed = [line.removeprefix("push ") for line in asked if line.startswith("push ")]
    names = ("gateway", "auth", "publisher", "loadtest")
    assert pushed == [f"registry.example.org/team/openline/{name}:dev" for name in names]


TLS = "deploy/compose.yaml:deploy/compose.production.yaml"


def test_the_file_of_variables_chooses_the_files_too(checkout: Path) -> None:
    lines = [
        "# ours",
        f'COMPOSE_FILE="{TLS}"',
        "OPENLINE_SECRETS=../theirs",
        "OPENLINE_REGISTRY=r/",
    ]
    (checkout / "deploy/.env").write_text("\n".join([*lines, "OPENLINE_PUBLIC_URL=https://x.test"]))
    # Both are nobody else's to read, and not mounted.
    (checkout / "deploy/.env").chmod(0o600)
    (checkout / "deploy/secrets").mkdir(mode=0o700)
    status, said, asked = run(checkout, "up")
    assert (status, said) == (0, "")
    assert (
        "compose up --detach --wait" in asked
    )  # and builds nothing: images come from the registry
    with_what = (checkout.parent / "asked.with").read_text()
    assert with_what == f"{TLS} {checkout}/deploy/../theirs\n"
    assert (checkout / "theirs/redis_password").exists()


def test_the_environment_goes_before_the_file_of_variables(checkout: Path) -> None:
    (checkout / "deploy/.env").write_text(f"COMPOSE_FILE={TLS}\nOPENLINE_VERSION='2.0'  # ours\n")
    _, _, asked = run(checkout, "push", "r", COMPOSE_FILE="deploy/compose.yaml")
    assert "push r/openline/gateway:2.0" in asked
    with_what = (checkout.parent / "asked.with").read_text()
    assert with_what == f"deploy/compose.yaml {checkout}/deploy/secrets\n"
