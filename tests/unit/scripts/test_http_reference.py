"""The HTTP API for people names every route."""

from __future__ import annotations

import json

from scripts import http_reference, openapi_reference


def test_the_page_in_the_docs_is_what_the_routes_say() -> None:
    for path, text in http_reference.pages().items():
        assert path.read_text("utf-8") == text, "run make docs"
        assert text[-2:].strip("\n") == text[-2], (
            "one newline at the end: pre-commit would take a second one away"
        )


def test_each_route_has_a_heading_an_example_and_an_answer() -> None:
    page = http_reference.PAGE.read_text("utf-8")
    for text in openapi_reference.documents().values():
        for path, methods in json.loads(text)["paths"].items():
            for method in methods:
                section = page.split(f"### {method.upper()} {path}\n")[1].split("\n### ")[0]
                assert "curl " in section
                assert "Answers **2" in section
