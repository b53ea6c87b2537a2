"""The images, made once for all tests of deployments, and the shipped compose file, started once."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.compose import ComposeStack
from tests.support.people import People
from tests.support.stack import ROOT

MINUTES = 15


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs images may have to wait until they are made; `make test-docker` makes them before."""
    for item in items:
        if item.get_closest_marker("docker"):
            item.add_marker(pytest.mark.timeout(MINUTES * 60))


@pytest.fixture(scope="session")
def images() -> None:
    """Our images and those of others that compose names: pulled, built, or stood in for."""
    for command in (
        [sys.executable, "-m", "tests.deploy.standins"],
        ["scripts/compose.sh", "images"],
    ):
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=MINUTES * 60, check=False
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


@pytest.fixture(scope="session")
def stack(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """`deploy/compose.yaml` under a name of its own."""
    project = f"openline-test-{secrets.token_hex(3)}"
    options = {"OPENLINE_DRAIN_SECONDS": "4", "OPENLINE_GRACE": "20s"}
    with ComposeStack(project, tmp_path_factory.mktemp("compose"), **options) as running:
        yield running


@pytest.fixture
async def people(stack: ComposeStack) -> AsyncIterator[People]:
    """Who talks to it."""
    async with People(stack.run) as talking:
        yield talking
