"""The OpenAPI documents in the repository say what the services answer."""

from __future__ import annotations

import json

from scripts import openapi_reference


def test_the_files_in_the_repository_are_not_stale():
    for path, text in openapi_reference.documents().items():
        assert path.read_text("utf-8") == text


def test_every_call_has_a_summary_and_names_its_refusals():
    for text in openapi_reference.documents().values():
        document = json.loads(text)
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                assert operation.get("summary"), (method, path)
                assert operation["responses"], (method, path)
