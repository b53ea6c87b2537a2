"""What each set-up installs, and that nothing of it starts, now or at boot."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[3]
NOTHING_IS_THERE = """
have() { case $1 in *python*) true;; *) false;; esac; }
install() { shift 2; echo "INSTALL $*"; }
"""
TEST = ["nginx", "curl", "redis-server", "faketime"]


def sh(script: str, *, cwd: Path, **variables: str) -> str:
    """What a script that must succeed prints."""
    return subprocess.run(
        ["/bin/sh", "-euc", script],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose virtual environment is made, on a machine that has nothing else."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/setup.sh", tmp_path / "scripts")
    packages = (ROOT / "scripts/packages.sh").read_text()
    (tmp_path / "scripts/packages.sh").write_text(packages + NOTHING_IS_THERE)
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "pip").write_text(f"#!{programs}/python")
    for lock in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / lock).touch()
        stamp = sh(f"cksum <{lock}", cwd=tmp_path).strip()
        (tmp_path / f".venv/stamp-{lock}").write_text(f"{stamp} {tmp_path.resolve()}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("need", "programs"),
    [
        ("python", []),
        ("dev", []),
        ("run", ["nginx", "curl"]),
        ("nginx", ["nginx"]),
        ("test", TEST),
        ("rules", ["prometheus", "prometheus-alertmanager"]),
    ],
)
def test_a_set_up_installs_what_its_verb_needs_and_nothing_else(checkout, need, programs):
    said = sh(f"scripts/setup.sh {need}", cwd=checkout, PYTHON=sys.executable)
    assert said.splitlines() == [f"INSTALL {program}" for program in programs]


def test_every_need_of_the_makefile_is_known():
    needs = set(re.findall(r"\$\(NEED\) (\w+)", (ROOT / "Makefile").read_text()))
    known = set(
        re.findall(r"^    (\w+)\) lock=", (ROOT / "scripts/setup.sh").read_text(), re.MULTILINE)
    )
    assert needs <= known
    assert known - needs == set()


def link(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to("/dev/null")


def test_what_an_installation_enables_is_disabled_and_what_was_enabled_stays(tmp_path):
    etc, programs = tmp_path / "etc", tmp_path / "programs"
    wants = etc / "systemd/system/multi-user.target.wants"
    link(wants, "ssh.service")
    before = at_boot(tmp_path)
    link(wants, "nginx.service")
    link(etc / "systemd/user/sockets.target.wants", "podman.socket")
    link(etc / "rc3.d", "S01redis-server")
    programs.mkdir()
    for name, text in {
        "id": "echo 0",
        "deb-systemd-helper": f'echo "$@" >>{tmp_path}/asked',
        "update-rc.d": f'echo "$@" >>{tmp_path}/asked',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    sh(
        f'. {ROOT}/scripts/packages.sh; not_at_boot "$BEFORE" "$(at_boot {etc})"',
        cwd=tmp_path,
        PATH=f"{programs}:/usr/bin:/bin",
        BEFORE=before,
    )
    assert sorted((tmp_path / "asked").read_text().splitlines()) == [
        "--user disable podman.socket",
        "disable nginx.service",
        "redis-server disable",
    ]


def at_boot(folder: Path) -> str:
    return sh(f". {ROOT}/scripts/packages.sh; at_boot {folder}/etc", cwd=folder)
