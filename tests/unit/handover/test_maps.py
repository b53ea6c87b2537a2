"""The maps of a move are read or refused, and the new one takes the place of the former."""

from __future__ import annotations

import asyncio
import stat

import pytest

from services.handover.maps import Maps
from services.handover.masters import RefusedError
from services.kernel.ops.settings import Common

ROW = '[[servers]]\nurl = "{}"\npartitions = "{}"\n'
BEFORE = ROW.format("redis://:s3cret@a", "0-1")
AFTER = ROW.format("redis://:s3cret@a", "0") + ROW.format("redis://b", "1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "now").write_text(BEFORE)
    (tmp_path / "new").write_text(AFTER)
    monkeypatch.setenv("OPENLINE_PARTITIONS", "2")
    monkeypatch.setenv("OPENLINE_REDIS_SERVERS_FILE", str(tmp_path / "now"))
    return tmp_path


def of(folder, *, new="new", former=None):
    return Maps.of(Common(), new=folder / new, former=former and folder / former)


def refusal(folder, **names) -> str:
    with pytest.raises(RefusedError) as caught:
        of(folder, **names)
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


def test_the_partition_that_moves_is_told_by_the_maps(folder):
    assert of(folder).partition == 1
    (folder / "former").write_text(BEFORE)
    (folder / "now").write_text(AFTER)
    assert "to finish a move, name the former map by --from" in refusal(folder)
    assert of(folder, former="former").partition == 1


def test_what_is_no_map_is_refused(folder):
    assert "No such file" in refusal(folder, new="none")
    (folder / "new").write_text("[[servers]")
    assert "is no TOML" in refusal(folder)
    assert "--from" in refusal(folder, former="new")


def test_a_cluster_and_a_single_server_are_refused_with_the_way_to_go(folder, monkeypatch):
    (folder / "new").write_text(AFTER.replace("redis://b", "redis+cluster://b"))
    assert "CLUSTER MIGRATESLOTS" in refusal(folder)
    monkeypatch.delenv("OPENLINE_REDIS_SERVERS_FILE")
    assert "restart all services with a file that gives all partitions" in refusal(folder)


def test_the_new_map_takes_the_place_of_the_former_which_is_kept(folder):
    (folder / "now").chmod(0o640)
    maps = of(folder)
    for _ in range(2):
        asyncio.run(maps.install())
        assert (folder / "now").read_text() == AFTER
        assert (folder / "now.former").read_text() == BEFORE
    assert stat.S_IMODE((folder / "now").stat().st_mode) == 0o640
    assert len(list(folder.iterdir())) == 3


def test_what_cannot_be_put_in_place_is_said(folder, monkeypatch):
    maps = of(folder)
    (folder / "now").unlink()
    with pytest.raises(RefusedError, match="leave out --install"):
        asyncio.run(maps.install())
    monkeypatch.delenv("OPENLINE_REDIS_SERVERS_FILE")
    with pytest.raises(RefusedError, match="--install needs OPENLINE_REDIS_SERVERS_FILE"):
        asyncio.run(maps.install())
