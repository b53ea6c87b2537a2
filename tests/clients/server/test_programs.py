"""Small programs of users, from the two wheels alone, in a folder of their own: asyncio, Flask, Django, FastAPI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.packages import Environment, wheel
from tests.support.stack import ROOT

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install "openline[testing,fastapi]" flask django` gives, our two from their wheels."""
    server = wheel(ROOT, tmp_path_factory.mktemp("server"))
    client = wheel(ROOT / "clients/python", tmp_path_factory.mktemp("client"))
    made = Environment(tmp_path_factory.mktemp("environment") / "venv")
    made.install(
        f"openline-server @ {server.as_uri()}",
        f"openline[testing,fastapi,tokens] @ {client.as_uri()}",
        *("pytest", "pytest-asyncio", "flask", "django", "httpx", "python-multipart"),
    )
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, code in PROGRAMS.items():
        (tmp_path / name).write_text(code, "utf-8")
    return tmp_path


def test_the_programs_run_and_hear_what_they_publish(
    environment: Environment, folder: Path
) -> None:
    said = environment.run("python", "-P", "-m", "pytest", "-q", "-rA", cwd=folder)
    for name in ("asyncio", "flask", "django", "fastapi", "nothing_of_the_repository"):
        assert f"PASSED test_programs.py::test_{name}" in said, said


def test_pyright_finds_nothing_in_them(environment: Environment, folder: Path) -> None:
    settings = {"include": ["program.py", "fastapi_app.py"], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    tools = Path(sys.executable).parent
    python = str(environment.program("python"))
    ended = subprocess.run(
        [sys.executable, "-m", "pyright", "-p", str(folder), "--pythonpath", python],
        cwd=folder,
        env={**environment.variables, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


ASYNCIO = """
import asyncio

from openline import AsyncPublisher, Client, Message


async def main() -> None:
    async with AsyncPublisher() as back_end:
        token = await back_end.token("ada")
        async with Client(token=token) as ada, ada.channel("room:program") as room:
            await back_end.publish("room:program", {"text": "hello"})
            message: Message[object] = await anext(aiter(room))
            print(message.data)


if __name__ == "__main__":
    asyncio.run(main())
"""

FASTAPI = """
from typing import Annotated

from fastapi import Depends, FastAPI
from openline import AsyncPublisher
from openline.fastapi import Openline

rt = Openline()
app = FastAPI(lifespan=rt.lifespan)


def current_user() -> str:
    return "ada"


app.include_router(rt.tokens(current_user))


@app.post("/say")
async def say(text: str, push: Annotated[AsyncPublisher, Depends(rt.publisher)]) -> dict[str, int | None]:
    return {"offset": (await push.publish("room:fastapi", {"text": text})).offset}
"""

FLASK = """
from flask import Flask
from openline import Publisher

app = Flask(__name__)


@app.post("/say/<text>")
def say(text):
    with Publisher() as publisher:
        return {"offset": publisher.publish("room:flask", {"text": text}).offset}


@app.post("/realtime-token")
def realtime_token():
    with Publisher() as publisher:
        return {"token": publisher.token("ada")}
"""

DJANGO = """
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="dev", ALLOWED_HOSTS=["testserver"], ROOT_URLCONF="django_app",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "openline.django"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

from django.db import transaction
from django.http import JsonResponse
from django.urls import path
from openline.django import publish_on_commit, publisher


@transaction.atomic
def say(request, text):
    publish_on_commit("room:django", {"text": text})
    return JsonResponse({})


def realtime_token(request):
    return JsonResponse({"token": publisher().token("ada")})


urlpatterns = [path("say/<text>", say), path("realtime-token", realtime_token)]
"""

TESTS = f"""
import os
import subprocess
import sys

from openline import Client

CHECKOUT = {str(ROOT)!r}


def test_nothing_of_the_repository(openline):
    import openline as client
    import openline_server

    assert not [path for path in sys.path if path.startswith(CHECKOUT)]
    for package in (client, openline_server):
        assert package.__file__.startswith(sys.prefix)


def test_asyncio(openline):
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=30)
    assert done.stdout == "{{'text': 'hello'}}\\n", done.stderr


async def heard(openline, channel, token, say):
    async with Client(openline.url, token=token) as ada, ada.channel(channel) as room:
        await __import__("asyncio").to_thread(say)
        message = await anext(aiter(room))
        assert (message.data, ada.connection.user) == ({{"text": "tea"}}, "ada")


async def test_flask(openline):
    from flask_app import app

    page = app.test_client()
    await heard(openline, "room:flask", page.post("/realtime-token").json["token"], lambda: page.post("/say/tea"))


async def test_django(openline):
    import django_app
    from django.test import Client as Page

    page = Page()
    token = (await __import__("asyncio").to_thread(page.post, "/realtime-token")).json()["token"]
    await heard(openline, "room:django", token, lambda: page.post("/say/tea"))


async def test_fastapi(openline):
    from fastapi.testclient import TestClient
    from fastapi_app import app

    with TestClient(app) as page:
        token = page.post("/realtime-token").json()["token"]
        await heard(openline, "room:fastapi", token, lambda: page.post("/say", params={{"text": "tea"}}))
"""

PROGRAMS = {
    "program.py": ASYNCIO,
    "fastapi_app.py": FASTAPI,
    "flask_app.py": FLASK,
    "django_app.py": DJANGO,
    "test_programs.py": TESTS,
    "pytest.ini": "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\npythonpath = .\n",
}
