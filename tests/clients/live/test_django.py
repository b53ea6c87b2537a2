"""docs/recipes/django.md as a project that runs, and its outbox, before the running system."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import make_url
from websockets.sync.client import connect

from deploy.local.ports import free_block
from openline import Publisher
from tests.support.documents import example
from tests.support.faulty_front import FaultyFront, faulty_front
from tests.support.recipes import environment
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.clients

PAGE = "docs/recipes/django.md"

SETTINGS = """
import os

SECRET_KEY = "dev"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
if port := os.environ.get("POSTGRES_PORT"):
    DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "openline",
                             "HOST": "127.0.0.1", "PORT": port}}
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_DB"]}}
"""

MANAGE = """
import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""


class Project:
    """A Django project in a folder: the page's code, and what `startproject` would have made around it."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            **variables,
            "PYTHONPATH": f"{ROOT / 'clients/python/src'}",
            "SHOP_DB": str(folder / "shop.db"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
        }
        (settings,) = example(PAGE, "Django", 0)
        views, urls = example(PAGE, "Tokens and publishing", 0, 1)
        shop = folder / "shop"
        shop.mkdir()
        (shop / "__init__.py").touch()
        (shop / "settings.py").write_text(SETTINGS + settings.code)
        (shop / "views.py").write_text(views.code)
        (shop / "urls.py").write_text(urls.code)
        (folder / "manage.py").write_text(MANAGE)

    def manage(self, *arguments: str, stdin: str = "") -> str:
        """What a command prints. Fails unless it succeeds."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def code(self, text: str) -> str:
        """What code in the project prints."""
        before = "import django; django.setup()\nfrom openline.django import *\nfrom openline.django.models import OutboxMessage\n"
        done = subprocess.run(
            [sys.executable, "-c", before + textwrap.dedent(text)],
            cwd=self.folder,
            env={**self.environment, "DJANGO_SETTINGS_MODULE": "shop.settings"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command that goes on."""
        log = (self.folder / "log.txt").open("ab")
        with log:
            return subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )


@pytest.fixture(scope="module")
def front(stack: Stack) -> Iterator[FaultyFront]:
    with faulty_front(stack.url) as found:
        yield found


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def project(request, stack: Stack, front: FaultyFront, tmp_path_factory) -> Project:
    variables = environment(stack, front.url)
    if request.param == "postgres":
        url = make_url(request.getfixturevalue("postgres"))
        variables["POSTGRES_PORT"] = str(url.port)
    made = Project(tmp_path_factory.mktemp("shop"), variables)
    made.manage("migrate")
    return made


@pytest.fixture
def reader(stack: Stack) -> Iterator[Publisher]:
    given = environment(stack)
    with Publisher(
        **{name.removeprefix("OPENLINE_").lower(): given[name] for name in given}
    ) as found:
        yield found


def newest(reader: Publisher, channel: str) -> object:
    return reader.history(channel, limit=1, reverse=True).messages[0].data


def test_the_migration_is_that_of_the_models(project):
    assert "No changes" in project.manage("makemigrations", "--check", "--dry-run", "openline")


def test_the_recipe_runs_as_a_server(project, stack, reader):
    (drain,) = example(PAGE, "The outbox", 0)
    port = free_block()
    session = project.code(
        """
        from django.contrib.auth.models import User
        from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
        from django.contrib.sessions.backends.db import SessionStore
        user = User.objects.create_user("alice")
        store = SessionStore()
        store.update({SESSION_KEY: str(user.pk), BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
                      HASH_SESSION_KEY: user.get_session_auth_hash()})
        store.create()
        print(store.session_key)
        """
    ).strip()
    server = project.start("runserver", "--noreload", f"127.0.0.1:{port}")
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url), timeout=60)
        secret = "a" * 32
        headers = {"X-CSRFToken": secret}
        with httpx2.Client(base_url=url, cookies={"csrftoken": secret}, headers=headers) as page:
            assert page.post("/realtime-token").status_code == 401
            page.cookies.set("sessionid", session)
            answer = page.post("/realtime-token")
            assert answer.status_code == 200
            assert "no-store" in answer.headers["cache-control"]
            with connect(f"{stack.ws}/ws/rooms/django?token={answer.json()['token']}") as socket:
                socket.recv(timeout=30)
                (member,) = reader.presence("room:django").members
                assert member.info == {"name": "alice"}
            made = page.post("/users", data={"name": "bob"})
            assert made.status_code == 201
            assert page.post("/realtime-token", headers={"X-CSRFToken": ""}).status_code == 403
        assert newest(reader, "notify:users") == {"name": "bob"}
        ran = subprocess.run(
            ["sh", "-ec", drain.code],
            cwd=project.folder,
            env=project.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "1 published" in ran.stdout, ran.stdout + ran.stderr
        assert newest(reader, f"user:{made.json()['id']}") == {"text": "welcome"}
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=10).status_code == 404
    except httpx2.TransportError:
        return False


def test_what_is_rolled_back_is_published_by_neither_way(project, reader):
    project.code(
        """
        from django.db import transaction
        try:
            with transaction.atomic():
                publish_on_commit("room:rolled-back", 1)
                OutboxMessage.objects.add("room:rolled-back", 2)
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        print(OutboxMessage.objects.drain(publisher()))
        """
    )
    assert reader.history("room:rolled-back").messages == []


def test_a_server_that_is_away_at_the_commit_costs_the_message_and_nothing_else(project, front):
    front.faults.extend(["503 before"] * 4)
    said = project.code(
        """
        import logging
        from django.db import transaction
        logging.basicConfig(filename="django.log")
        with transaction.atomic():
            publish_on_commit("room:lost", 1)
        print("went on")
        """
    )
    assert said.endswith("went on\n")
    assert "Error calling" in (project.folder / "django.log").read_text()


def test_the_outbox_keeps_the_order_and_what_is_refused(project, front, reader):
    channel = f"room:outbox-{os.urandom(4).hex()}"
    front.faults.append("cut after")
    said = project.code(
        f"""
        import json
        from openline import OpenlineError, Publisher
        add = OutboxMessage.objects.add
        for data in (0, 1, "x" * 70_000, 2, None):
            add("{channel}", data, tags={{"a": "b"}})
        impatient = Publisher(attempts=1, timeout=30, patience=60)
        try:
            OutboxMessage.objects.drain(impatient)
        except OpenlineError as error:
            waited = error.temporary
        count = OutboxMessage.objects.drain(impatient)
        errors = list(OutboxMessage.objects.filter(channel="{channel}").values_list("error", flat=True))
        print(json.dumps([waited, count, errors]))
        """
    )
    waited, count, errors = json.loads(said)
    assert (waited, count) == (True, 4)
    assert len(errors) == 1
    assert "too_large" in errors[0]
    messages = reader.history(channel).messages
    assert [message.data for message in messages] == [0, 1, 2, None]
    assert messages[0].tags == {"a": "b"}


def test_messages_say_what_they_are_the_newest_of(project, reader):
    channel = f"room:conflated-{os.urandom(4).hex()}"
    said = project.code(
        f"""
        from openline import OpenlineError
        add = OutboxMessage.objects.add
        add("{channel}", 1, conflate_key="EURUSD")
        add("{channel}", 2)
        try:
            add("{channel}", 3, conflate_key="")
        except OpenlineError as error:
            print(error.code)
        OutboxMessage.objects.drain(publisher())
        publish_on_commit("{channel}", 4, conflate_key="EURUSD")
        """
    )
    assert said == "bad_request\n"
    messages = reader.history(channel).messages
    assert [(one.data, one.conflate_key) for one in messages] == [
        (1, "EURUSD"),
        (2, None),
        (4, "EURUSD"),
    ]


def test_messages_that_waited_before_the_column_was_there_leave_after_the_migration(
    project, reader
):
    channel = f"room:waited-{os.urandom(4).hex()}"
    project.manage("migrate", "openline", "0001")
    try:
        project.code(
            f"""
            from django.db import connection
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO openline_outboxmessage (channel, data, key, created, error)"
                    " VALUES (%s, %s, %s, CURRENT_TIMESTAMP, %s)", ["{channel}", "1", "k-{channel}", ""]
                )
            """
        )
    finally:
        project.manage("migrate", "openline")
    project.code("OutboxMessage.objects.drain(publisher())")
    ((data, conflate_key),) = [
        (one.data, one.conflate_key) for one in reader.history(channel).messages
    ]
    assert (data, conflate_key) == (1, None)


def test_the_drain_that_runs_for_ever_ends_when_it_is_told_to(project, reader):
    channel = f"room:outbox-{os.urandom(4).hex()}"
    drain = project.start("drain_outbox", "--every", "0.1")
    try:
        project.code(f"OutboxMessage.objects.add('{channel}', 1)")
        wait_until(lambda: reader.history(channel).messages, timeout=60)
    finally:
        drain.send_signal(signal.SIGTERM)
        assert drain.wait(60) == 0


def test_a_misspelt_setting_is_named(project):
    said = project.code(
        """
        from django.conf import settings
        settings.OPENLINE["URI"] = "http://a"
        try:
            publisher()
        except Exception as error:
            print(error)
        """
    )
    assert "OPENLINE['URI'] is not known; known are URL, CLIENT_ID" in said


def test_settings_that_a_test_overrides_make_another_publisher(project):
    said = project.code(
        """
        from django.conf import settings
        from django.test import override_settings
        first = publisher()
        with override_settings(OPENLINE={**settings.OPENLINE, "CLIENT_ID": "another"}):
            print(publisher() is first)
        with override_settings(USE_TZ=False):
            again = publisher()
        print(publisher() is again)
        """
    )
    assert said == "False\nTrue\n"
