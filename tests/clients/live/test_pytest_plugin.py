"""The fixtures of `openline.pytest` in a user's own test session: sync, async, TestClient, failures of the network."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from tests.support.stack import ROOT

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

APPLICATION = """
    import json

    import pytest
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from websockets.sync.client import connect

    from openline import AsyncPublisher, Publisher

    app = FastAPI()
    addresses = []  # of servers

    @app.post("/orders")
    async def order():
        async with AsyncPublisher() as publisher:
            await publisher.publish("public:all", {"total": 3})

    @app.post("/sync")
    def sync():
        with Publisher() as publisher:
            publisher.notify("orders", total=4)
"""


def session(folder, *tests, arguments=(), **variables):
    """A user's test session; its exit status and output."""
    text = textwrap.dedent(APPLICATION) + "\n\n".join(textwrap.dedent(test) for test in tests)
    (folder / "test_app.py").write_text(text)
    (folder / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    given = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPENLINE_", "PYTEST_", "COV_"))
    }
    path = os.pathsep.join([str(ROOT), str(ROOT / "clients/python/src")])
    command = ["-P", "-m", "pytest", "-q", "-p", "openline.pytest", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [sys.executable, *command, *arguments],
        cwd=folder,
        env={**given, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_a_session_of_a_users_tests_with_the_embedded_server(tmp_path):
    status, said = session(
        tmp_path,
        """
        def test_sync_with_a_websocket_of_ones_own(openline):
            with connect(openline.url.replace("http", "ws") + "/ws") as line:
                line.send(json.dumps({"type": "auth", "id": 1, "token": openline.mint("ann")}))
                while json.loads(line.recv(timeout=30))["type"] != "connected":
                    pass
                openline.publisher.publish("user:ann", "hello")
                while (event := json.loads(line.recv(timeout=30)))["type"] != "message":
                    pass
                assert event["data"] == "hello"
            addresses.append(openline.url)

        def test_the_application_publishes_through_its_own_publisher(openline):
            assert TestClient(app).post("/orders").status_code == 200
            assert openline.publisher.history("public:all").messages[-1].data == {"total": 3}
        """,
        """
        async def test_async_with_a_client(openline):
            room = openline.name("room:chat")
            async with openline.client("ann") as ann, openline.client("bob") as bob:
                async with ann.channel(room) as heard, bob.channel(room) as said:
                    await said.publish("hi")
                    async for message in heard:
                        assert (message.data, message.sender) == ("hi", "bob")
                        break

        async def test_a_client_comes_back_after_a_dropped_line_without_a_loss(openline):
            room = openline.name("room:drop")
            async with openline.client("ann") as ann, ann.channel(room) as heard:
                openline.publisher.publish(room, 1)
                assert openline.drop("ann") == 1
                openline.publisher.publish(room, 2)
                found = []
                async for message in heard:
                    found.append(message.data)
                    if len(found) == 2:
                        break
                assert found == [1, 2]

        async def test_a_client_that_is_drained_moves_without_a_loss(openline):
            room = openline.name("room:drain")
            async with openline.client("ann") as ann, ann.channel(room) as heard:
                first = ann.connection.connection
                assert openline.drain(0.5) == 1
                while ann.connection is None or ann.connection.connection == first:
                    await __import__("asyncio").sleep(0.01)
                openline.publisher.publish(room, "after")
                async for message in heard:
                    assert message.data == "after"
                    break

        async def test_a_client_is_told_of_a_loss(openline):
            room, lost = openline.name("room:lost"), []
            openline.publisher.publish(room, 1)
            async with openline.client("ann", on_lost=lost.append) as ann:
                async with ann.channel(room) as heard:
                    openline.lose(room)
                    openline.publisher.publish(room, "new")
                    async for message in heard:
                        assert message.data == "new"
                        break
            assert len(lost) == 1

        def test_a_test_starts_no_server_when_one_is_up(openline):
            openline.publisher.publish(openline.name("room:fast"), 1)
            assert addresses == [openline.url]
        """,
        """
        def test_nothing_runs_when_messages_are_recorded(published):
            assert TestClient(app).post("/orders").status_code == 200
            assert TestClient(app).post("/sync").status_code == 200
            assert published["public:all"][0].data == {"total": 3}
            assert published["notify:orders"][0].data["total"] == 4
        """,
    )
    assert status == 0, said
    assert "8 passed" in said


def test_a_live_server_is_used_by_its_address(tmp_path, stack):
    client = stack.run["clients"][0]
    status, said = session(
        tmp_path,
        """
        async def test_with_a_running_system(openline_live):
            room = openline_live.name("room:live")
            async with openline_live.client("ann") as ann, ann.channel(room) as heard:
                openline_live.publisher.publish(room, "hello")
                async for message in heard:
                    assert message.data == "hello"
                    break
        """,
        arguments=[f"--openline-url={stack.url}"],
        OPENLINE_CLIENT_ID=client["client_id"],
        OPENLINE_CLIENT_SECRET=client["client_secret"],
    )
    assert status == 0, said


def test_without_a_client_the_live_fixture_says_what_it_needs(tmp_path):
    status, said = session(tmp_path, "def test_it(openline_live): ...")
    assert status == 1
    assert "OPENLINE_CLIENT_ID and OPENLINE_CLIENT_SECRET" in said
