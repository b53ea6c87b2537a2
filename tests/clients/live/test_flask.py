"""docs/recipes/flask.md, run as it stands."""

from __future__ import annotations

import pytest
from websockets.sync.client import connect

from tests.support.faulty_front import faulty_front
from tests.support.recipes import environment, module
from tests.support.stack import Stack

pytestmark = pytest.mark.clients


@pytest.fixture
def application(stack: Stack):
    made = []

    def make(**options):
        found = environment(stack, options.pop("url", None))
        app = shop.create_app(SECRET_KEY="dev", TESTING=False, **found)
        made.append(app)
        return app

    with module("flask.md", ("Flask", 0), name="shop_flask") as shop:
        yield make
        for app in made:
            app.extensions["openline"].close()


def test_the_recipe_mints_for_whoever_is_signed_in(stack, application):
    page = application().test_client()
    assert page.post("/realtime-token").status_code == 401
    with page.session_transaction() as session:
        session["user"] = "alice"
    answer = page.post("/realtime-token")
    assert answer.headers["cache-control"] == "no-store"
    with connect(f"{stack.ws}/ws?token={answer.json['token']}") as socket:
        assert '"alice"' in socket.recv(timeout=30)


def test_the_recipe_publishes(application):
    app = application()
    answer = app.test_client().post("/orders", json={"title": "tea"})
    assert answer.status_code == 201
    publisher = app.extensions["openline"]
    newest = publisher.history("notify:orders", limit=1, reverse=True).messages[0]
    assert (newest.data["title"], newest.offset) == ("tea", answer.json["offset"])


def test_the_recipe_says_when_to_come_back(stack, application):
    with faulty_front(stack.url) as front:
        front.faults.extend(["503 before"] * 4)
        answer = application(url=front.url).test_client().post("/orders", json={"title": "tea"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
