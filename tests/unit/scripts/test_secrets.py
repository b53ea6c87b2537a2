"""The secrets of compose: made once, closed to others, and in agreement with each other."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[3]


def make(folder: Path) -> str:
    """Run the script; what it says."""
    done = subprocess.run(
        [str(ROOT / "scripts/secrets.sh")],
        env={"PATH": "/usr/bin:/bin", "OPENLINE_SECRETS": str(folder)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


def test_all_that_compose_names_are_made_and_only_their_owner_can_enter(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    said = make(folder)
    files = ("compose.yaml", "compose.sentinel.yaml", "compose.cluster.yaml")
    texts = [(ROOT / "deploy" / name).read_text("utf-8") for name in files]
    declared = [one for text in texts for one in yaml.safe_load(text)["secrets"].values()]
    named = {Path(one["file"]).name for one in declared}
    assert {path.name for path in folder.iterdir()} == named
    assert said.count("made ") == len(named)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # Images run as users that this machine does not know.
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}


def test_addresses_hold_the_passwords_and_no_two_are_the_same(tmp_path: Path) -> None:
    make(tmp_path)
    redis, postgres, grafana = (
        (tmp_path / f"{name}_password").read_text() for name in ("redis", "postgres", "grafana")
    )
    assert len({redis, postgres, grafana}) == 3
    assert all(re.fullmatch("[0-9a-f]{48}", secret) for secret in (redis, postgres, grafana))
    assert (tmp_path / "redis.conf").read_text() == f"requirepass {redis}\n"
    assert (tmp_path / "redis_url").read_text() == f"redis://:{redis}@redis:6379/0\n"
    exporter = json.loads((tmp_path / "redis_exporter.json").read_text())
    assert exporter == {"redis://redis:6379": redis}
    sentinels = (tmp_path / "redis_sentinel_url").read_text()
    assert sentinels.startswith(f"redis+sentinel://:{redis}@sentinel-1:26379,")
    assert sentinels.endswith(f"/openline/0?sentinel_password={redis}\n")
    cluster = (tmp_path / "redis_cluster_url").read_text()
    assert cluster.startswith(f"redis+cluster://:{redis}@redis-1:6379,")
    exporters = json.loads((tmp_path / "redis_exporters.json").read_text())
    assert exporters == {f"redis://{name}:6379": redis for name in ("redis", "redis-2", "redis-3")}
    url = (tmp_path / "database_url").read_text()
    assert url == f"postgresql://openline:{postgres}@postgres:5432/openline\n"


def test_what_exists_stays(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "redis_url").unlink()
    (tmp_path / "redis_url").write_text("rediss://theirs:6379/0\n")
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert make(tmp_path) == ""
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before
    (tmp_path / "redis.conf").unlink()
    assert make(tmp_path) == f"openline: made {tmp_path}/redis.conf\n"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_without_docker_the_verbs_say_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "scripts/compose.sh"), "up"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "docker is not installed" in done.stderr
