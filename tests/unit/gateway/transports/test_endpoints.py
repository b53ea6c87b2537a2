"""The paths that speak WebSocket."""

from __future__ import annotations

import pytest

from services.gateway.transports.endpoints import find


@pytest.mark.parametrize(
    ("path", "template", "values"),
    [
        (b"/ws", "/ws", ()),
        (b"/ws/rooms/a:b", "/ws/rooms/{room}", ("a:b",)),
        (b"/ws/notify/news", "/ws/notify/{topic}", ("news",)),
    ],
)
def test_found_as_the_application_routes_it(path, template, values):
    endpoint, found = find(path)
    assert (endpoint.path, found) == (template, values)


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/",
        b"/ws/",
        b"/wsx",
        b"/ws/rooms",
        b"/ws/rooms/",
        b"/ws/rooms/a/b",
        b"/x/ws",
        b"/ws/rooms/a%2Fb",
        b"/%77s",
        "/ws/rooms/ä".encode(),
        b"/ws/rooms/a#b",
    ],
)
def test_other_paths_and_those_to_be_decoded_are_not(path):
    assert find(path) is None
