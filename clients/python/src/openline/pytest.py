"""Fixtures for tests of applications: `published`, `openline`, `openline_live`. Loaded by pytest by itself.

- `published`: nothing runs; publishers check what they are given and record it. `published["room:x"]` lists drafts.
- `openline`: the real server on the broker in memory, started once a session, in a process of its own: it serves sync
  and async tests, FastAPI's TestClient and browsers alike. Ends with the session.
- `openline_live`: a server that runs, of `--openline-url`.

All three set OPENLINE_URL, OPENLINE_CLIENT_ID and OPENLINE_CLIENT_SECRET for the test, so an application's own publisher
finds the server.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:  # loaded in each session, whether it uses us or not
    from openline.calls import Answer, Call
    from openline.recording import Recording
    from openline.testing import EmbeddedServer, Server

_URL = "http://127.0.0.1:8080"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--openline-url`."""
    parser.getgroup("openline").addoption(
        "--openline-url",
        metavar="URL",
        default=os.environ.get("OPENLINE_URL", _URL),
        help=f"the server of the fixture openline_live: OPENLINE_URL, else {_URL}",
    )


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Recording:
    """What the test's publishers would have sent."""
    from openline.async_publisher import AsyncPublisher  # noqa: PLC0415
    from openline.publisher import Publisher  # noqa: PLC0415
    from openline.recording import Recording  # noqa: PLC0415

    recording = Recording()

    def request(_self: Publisher, call: Call, _token: str, _attempts: object) -> Answer:
        return recording.answer(call)

    async def request_async(
        _self: AsyncPublisher, call: Call, _token: str, _attempts: object
    ) -> Answer:
        return recording.answer(call)

    # Of the classes: publishers that the application made when it was imported record as well.
    monkeypatch.setattr(Publisher, "_request", request)
    monkeypatch.setattr(AsyncPublisher, "_request", request_async)
    for name in ("CLIENT_ID", "CLIENT_SECRET"):
        if not os.environ.get(f"OPENLINE_{name}"):
            monkeypatch.setenv(f"OPENLINE_{name}", "recorded")
    return recording


@pytest.fixture(scope="session")
def openline_server() -> Iterator[EmbeddedServer]:
    """The session's embedded server, for fixtures of a wider scope than a test."""
    from openline.testing import EmbeddedServer  # noqa: PLC0415

    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def openline(openline_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> EmbeddedServer:
    """The embedded server, with the variables that lead to it."""
    return _found(openline_server, monkeypatch)


@pytest.fixture
def openline_live(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server of `--openline-url`. It cannot be told to drop, lose or drain: no call of its API does."""
    from openline.testing import Server  # noqa: PLC0415

    login = {name: os.environ.get(f"OPENLINE_{name.upper()}", "") for name in _LOGIN}
    missing = [f"OPENLINE_{name.upper()}" for name, value in login.items() if not value]
    if missing:
        pytest.fail(
            f"openline_live needs {' and '.join(missing)}: a client of the server's", pytrace=False
        )
    server = Server(str(pytestconfig.getoption("openline_url")), **login)
    yield _found(server, monkeypatch)
    server.close()


_LOGIN = ("client_id", "client_secret")


S = TypeVar("S", bound="Server")


def _found(server: S, monkeypatch: pytest.MonkeyPatch) -> S:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return server
