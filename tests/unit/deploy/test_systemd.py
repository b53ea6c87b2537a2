"""The units for machines without containers, as systemd and nginx read them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.local.ports import free_port
from deploy.local.programs import find_nginx
from scripts.settings_reference import text

ROOT = Path(__file__).resolve().parents[3]
UNITS = ROOT / "deploy/systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this machine has no systemd")
@pytest.mark.parametrize("unit", [*SERVICES, "openline.target"])
def test_systemd_finds_no_fault(unit: str, tmp_path: Path) -> None:
    for path in UNITS.glob("openline*"):
        # It looks for the programs, which are elsewhere on this machine.
        there = path.read_text("utf-8").replace("/srv/openline/.venv/bin/python", "/bin/true")
        (tmp_path / path.name).write_text(there.replace("/usr/sbin/nginx", "/bin/true"))
    name = unit.replace("@.", "@8101.")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / name)],
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_the_environment_names_settings_that_exist() -> None:
    lines = (UNITS / "openline.env").read_text("utf-8").splitlines()
    names = [line.partition("=")[0] for line in lines if not line.startswith("#")]
    assert names
    settings = text()
    assert all(f"`{name}`" in settings for name in names)


WRITTEN = ("pid", "error_log", "access_log", "client_body_temp_path", "proxy_temp_path")
WRITTEN += ("fastcgi_temp_path", "uwsgi_temp_path", "scgi_temp_path")
"""What nginx would else write where it was built for."""


@pytest.mark.parametrize("directive", WRITTEN)
def test_nginx_writes_only_where_its_unit_lets_it(directive: str) -> None:
    unit = (UNITS / "openline-nginx.service").read_text("utf-8")
    assert "ProtectSystem=strict" in unit
    given = re.findall(r"^(Runtime|Cache|Logs)Directory=(\S+)$", unit, re.MULTILINE)
    roots = {"Runtime": "/run", "Cache": "/var/cache", "Logs": "/var/log"}
    frame = (UNITS / "nginx.conf").read_text("utf-8")
    found = re.search(rf"^ *{directive} (\S+?)[; ]", frame, re.MULTILINE)
    assert found
    assert str(Path(found[1]).parent) in {f"{roots[kind]}/{name}" for kind, name in given}


@pytest.mark.server
def test_nginx_takes_the_frame(tmp_path: Path) -> None:
    folder = tmp_path / "nginx"
    shutil.copytree(ROOT / "nginx", folder)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=x", "-keyout", tmp_path / "tls.key", "-out", tmp_path / "tls.crt"),
        ],
        check=True,
        capture_output=True,
    )
    frame = (UNITS / "nginx.conf").read_text("utf-8")
    for place, here in (
        ("/etc/openline/tls", tmp_path),
        ("/var/log/openline", tmp_path),
        ("/run/openline-nginx", tmp_path),
        ("/var/cache/openline-nginx", tmp_path),
    ):
        assert f"{place}/" in frame
        frame = frame.replace(place, str(here))
    for port in ("443", "80"):  # any user may have these
        frame = frame.replace(f"listen {port}", f"listen 127.0.0.1:{free_port()}")
    (folder / "nginx.conf").write_text(frame)
    with (tmp_path / "limits.conf").open("wb") as limits:
        subprocess.run(["sh", folder / "limits.sh"], stdout=limits, check=True)
    done = subprocess.run(
        [find_nginx(), "-t", "-e", str(tmp_path / "error.log"), "-c", str(folder / "nginx.conf")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "test is successful" in done.stderr, done.stderr
