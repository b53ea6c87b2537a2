"""docs/guides/from-django-channels.md: the project passes its tests with Channels, and with Openline in its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import blocks
from tests.support.stack import ROOT

pytestmark = [pytest.mark.clients, pytest.mark.server, pytest.mark.timeout(300)]

PAGE = "docs/guides/from-django-channels.md"
MODELS = "chat/models.py"
FILES = {
    "Before": [MODELS, "chat/consumers.py", "mysite/asgi.py", "chat/tests.py"],
    "After": ["mysite/settings.py", "chat/views.py", "mysite/urls.py", "chat/tests.py"],
}

# What `startproject` and `startapp` have made around it.
SETTINGS = """
SECRET_KEY = "dev"
ROOT_URLCONF = "mysite.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "chat"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "chat.db"}}
MIGRATION_MODULES = {"chat": None}
"""
CHANNELS = """
INSTALLED_APPS.insert(0, "daphne")
ASGI_APPLICATION = "mysite.asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
"""
MANAGE = """
import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""


def code(when: str) -> dict[str, str]:
    """What the page shows under a heading, by file."""
    shown = [block.code for block in blocks(PAGE, when) if block.language == "python"]
    return dict(zip(FILES[when], shown, strict=True))


def project(folder: Path, when: str) -> Path:
    """The project as the page has it then."""
    files = {"manage.py": MANAGE, "mysite/urls.py": "urlpatterns = []\n"}
    files |= {"mysite/__init__.py": "", "chat/__init__.py": "", MODELS: code("Before")[MODELS]}
    files |= code(when)
    if when == "Before":
        files["mysite/settings.py"] = SETTINGS + CHANNELS
    else:
        files["mysite/settings.py"] = SETTINGS + files["mysite/settings.py"]
        for gone in ("channels", "daphne"):
            files[f"{gone}.py"] = "raise AssertionError('it should be gone')\n"
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize("when", ["Before", "After"])
def test_the_project_passes_its_tests_before_and_after_it_is_moved(
    tmp_path: Path, when: str
) -> None:
    given = {name: text for name, text in os.environ.items() if not name.startswith("OPENLINE_")}
    path = os.pathsep.join([str(ROOT / "clients/python/src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "manage.py", "test"],
        cwd=project(tmp_path, when),
        env=given | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 1 test" in done.stderr
