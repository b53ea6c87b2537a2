"""Which processes are restarted when files change."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from deploy.local import reload
from tests.support.stack import ROOT


class Restarted:
    def __init__(self, module: str) -> None:
        self.command = ["python", "-m", module]
        self.times = 0

    def restart(self) -> None:
        self.times += 1


@pytest.fixture
async def services(tmp_path, monkeypatch):
    """Two services of a tree of their own, watched."""
    monkeypatch.setattr(reload, "ROOT", tmp_path)
    monkeypatch.setattr(reload, "SHARED", (tmp_path / "services/kernel",))
    monkeypatch.setattr(reload, "EVERY", 0.01)
    for name in ("auth", "gateway", "kernel"):
        (tmp_path / "services" / name).mkdir(parents=True)
        (file := tmp_path / "services" / name / "app.py").write_text("")
        os.utime(
            file, (1, 1)
        )  # what a test writes now differs, however coarse the clock of files is
    found = [Restarted("services.auth"), Restarted("services.gateway"), Restarted("nginx.conf")]
    task = asyncio.create_task(reload.watch(found))
    await asyncio.sleep(0)
    yield found
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def restarts(services, expected):
    async with asyncio.timeout(30):
        while [one.times for one in services] != expected:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def test_a_service_restarts_when_a_file_of_its_own_or_of_the_kernel_changes(
    services, tmp_path
):
    (tmp_path / "services/auth/app.py").write_text("changed")
    await restarts(services, [1, 0, 0])
    (tmp_path / "services/kernel/new.py").write_text("")
    await restarts(services, [2, 1, 0])
    (tmp_path / "services/gateway/app.py").unlink()
    await restarts(services, [2, 2, 0])


async def test_compiled_files_change_nothing(services, tmp_path):
    (tmp_path / "services/auth/app.pyc").write_text("")
    (tmp_path / "services/gateway/app.py").write_text("changed")
    await restarts(services, [0, 1, 0])


def test_the_folders_of_a_service_are_there():
    found = reload.folders(["python", "-m", "services.gateway"])
    assert ROOT / "services/gateway" in found
    assert all(path.exists() for path in found)
