"""Each example of docs/recipes that is about Python is run by a test."""

from __future__ import annotations

import pytest

from tests.support.documents import blocks
from tests.support.stack import ROOT

pytestmark = pytest.mark.clients

RUN_BY = {
    "test_celery.py": {("celery.md", "Celery", 0)},
    "test_django.py": {
        ("django.md", "Django", 0),
        ("django.md", "Tokens and publishing", 0),
        ("django.md", "Tokens and publishing", 1),
        ("django.md", "The outbox", 0),
    },
    "test_fastapi.py": {
        ("fastapi.md", "FastAPI", 0),
        ("fastapi.md", "Beside a lifespan of your own", 0),
    },
    "test_flask.py": {("flask.md", "Flask", 0)},
    "test_sqlalchemy.py": {
        ("sqlalchemy.md", "SQLAlchemy: an outbox", 0),
        ("sqlalchemy.md", "Draining it", 0),
        ("sqlalchemy.md", "A table of before", 0),
    },
}


@pytest.mark.parametrize("test", RUN_BY)
def test_each_example_of_a_page_is_run(test):
    pages = {page for page, _, _ in RUN_BY[test]}
    found = {
        (page, block.heading, block.number)
        for page in pages
        for block in blocks(f"docs/recipes/{page}")
        if block.language
    }
    assert found == RUN_BY[test]
    assert (ROOT / "tests/clients/live" / test).is_file()
