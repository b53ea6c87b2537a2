"""docs/recipes/fastapi.md, run as it stands: an application before the running system."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from websockets.sync.client import connect

from openline import OpenlineError, Publisher
from openline.fastapi import Openline
from tests.support.faulty_front import faulty_front
from tests.support.recipes import environment, module
from tests.support.stack import Stack

pytestmark = pytest.mark.clients

PAGE = "fastapi.md"


@pytest.fixture
def settings(stack: Stack, monkeypatch):
    found = environment(stack)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def publisher(settings):
    with Publisher() as found:
        yield found


def test_the_recipe_publishes_checks_and_mints(stack, publisher):
    with module(PAGE, ("FastAPI", 0), name="shop_fastapi") as shop, TestClient(shop.app) as page:
        token = page.post("/realtime-token")
        assert (token.status_code, token.json()["expires_in"]) == (200, 900)
        assert token.headers["cache-control"] == "no-store"
        with connect(f"{stack.ws}/ws/notify/orders?last=1&token={token.json()['token']}") as socket:
            answer = page.post("/orders", json={"item": "tea", "quantity": 2})
            assert answer.status_code == 201
            while '"tea"' not in socket.recv(timeout=30):
                pass
        newest = publisher.history("notify:orders", limit=1, reverse=True).messages[0]
        assert (newest.data, newest.offset) == (
            {"item": "tea", "quantity": 2},
            answer.json()["offset"],
        )


def test_the_recipe_wraps_a_lifespan_that_publishes(publisher):
    with module(PAGE, ("Beside a lifespan of your own", 0), name="shop_lifespan") as shop:
        with TestClient(shop.app):
            up = publisher.history("notify:deployments", limit=1, reverse=True).messages[0]
            assert up.data["title"] == "up"
        down = publisher.history("notify:deployments", limit=1, reverse=True).messages[0]
        assert down.data["title"] == "down"


def app(rt: Openline, current_user, **options) -> FastAPI:
    made = FastAPI(lifespan=rt.lifespan)
    made.include_router(rt.tokens(current_user, **options))
    return made


def test_nobody_gets_no_token(settings):
    with TestClient(app(Openline(), lambda: None)) as page:
        assert page.post("/realtime-token").status_code == 401


def test_the_dependency_of_the_application_may_refuse(settings):
    def current_user():
        raise HTTPException(403, "banned")

    with TestClient(app(Openline(), current_user)) as page:
        assert page.post("/realtime-token").json() == {"detail": "banned"}


def test_what_a_token_allows_may_depend_on_the_user(settings, stack):
    async def grants(user):
        await asyncio.sleep(0)
        return {f"room:{user['id']}": ["subscribe"]}

    user = secrets.token_hex(4)
    rt = Openline()
    made = app(rt, lambda: {"id": user}, channels=grants, subject=lambda found: found["id"])
    with TestClient(made) as page:
        token = page.post("/realtime-token").json()["token"]
    with connect(f"{stack.ws}/ws/rooms/{user}?token={token}") as socket:
        assert user in socket.recv(timeout=30)


def test_a_user_that_cannot_be_is_the_applications_fault(settings):
    with (
        TestClient(app(Openline(), lambda: "bob smith")) as page,
        pytest.raises(OpenlineError, match="' ' at position 3"),
    ):
        page.post("/realtime-token")


def test_a_page_is_told_to_come_back_while_openline_is_away(settings, stack):
    with faulty_front(stack.url) as front:
        front.failing = "/auth/"
        front.faults.append("503 before")
        rt = Openline(front.url, attempts=1)
        with TestClient(app(rt, lambda: "alice")) as page:
            front.token_faults = True
            answer = page.post("/realtime-token")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_publisher_before_the_start_says_what_is_missing(settings):
    rt = Openline()
    with (
        TestClient(FastAPI()),
        pytest.raises(RuntimeError, match=r"FastAPI\(lifespan=rt\.lifespan\)"),
    ):
        asyncio.run(rt.publisher())


def test_a_wrapped_lifespan_keeps_its_state(settings):
    rt = Openline()

    @asynccontextmanager
    async def mine(_):
        yield {"answer": 42}

    made = FastAPI(lifespan=rt.wrap(mine))
    with TestClient(made) as page:
        assert page.app_state == {"answer": 42}
