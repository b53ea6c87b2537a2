"""The protocol's reference is what the code validates, and complete."""

from __future__ import annotations

import pytest

from scripts import protocol_reference as reference
from services.kernel.domain.codes import Close, Code


def test_the_files_are_fresh():
    """When this fails: python -m scripts.protocol_reference."""
    for path, text in reference.files().items():
        assert path.read_text() == text, path


def test_every_code_is_explained():
    assert set(reference.ERRORS) == set(Code)
    assert set(reference.CLOSES) == set(Close)


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    document = reference.asyncapi()
    for path in references(document):
        node = document
        for step in path.removeprefix("#/").split("/"):
            node = node[step]


def test_every_route_of_the_gateway_is_described():
    addresses = [route["address"] for route in reference.asyncapi()["channels"].values()]
    streams = ["/sse", "/sse", "/sse/{connection}"]
    assert addresses == ["/ws", "/ws/rooms/{room}", "/ws/notify/{topic}", *streams]


@pytest.mark.parametrize(
    ("close", "advice"),
    [(1000, "stay"), (1012, "reconnect"), (4001, "stay"), (4101, "reconnect"), (4200, "token")],
)
def test_the_range_of_a_close_code_decides_the_advice(close, advice):
    assert advice in reference.advice(close)
