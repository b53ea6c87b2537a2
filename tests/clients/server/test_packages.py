"""What is published of Python: both wheels are well-formed, and the client needs its two dependencies alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.packages import Environment, wheel
from tests.support.stack import ROOT

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    return {
        name: wheel(project, tmp_path_factory.mktemp(name))
        for name, project in (("server", ROOT), ("client", ROOT / "clients" / "python"))
    }


def test_twine_finds_nothing_to_complain_of(wheels):
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, wheels.values())]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_client_is_installed_with_its_two_dependencies_and_works(wheels, tmp_path):
    environment = Environment(tmp_path / "venv")
    environment.install(str(wheels["client"]))
    folder = tmp_path / "empty"
    folder.mkdir()
    listed = environment.run("python", "-m", "pip", "list", "--format=freeze", cwd=folder).split()
    names = {line.partition("==")[0].lower() for line in listed}
    assert {"openline", "httpx2", "websockets"} <= names
    assert not names & {"pyjwt", "pydantic", "fastapi", "django", "sqlalchemy", "pytest", "redis"}
    code = "from openline import Client, Publisher; Client('http://localhost'); Publisher('http://localhost', token='t').close(); print('made')"
    assert environment.run("python", "-W", "error", "-c", code, cwd=folder) == "made\n"
