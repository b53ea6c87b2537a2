"""Where a server is, as clients and publishers are told."""

from __future__ import annotations

import pytest

from openline import Client, OpenlineError, Publisher
from openline.address import http_url, websocket_url

pytestmark = pytest.mark.clients

EACH = pytest.mark.parametrize("address", [http_url, websocket_url])


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws"),
        ("https://push.example.org/", "wss://push.example.org/ws"),
        ("wss://push.example.org/ws", "wss://push.example.org/ws"),
        ("ws://[::1]:8080/ws/", "ws://[::1]:8080/ws"),
        ("https://example.org/push", "wss://example.org/push/ws"),
        ("HTTP://Example.org", "ws://Example.org/ws"),
    ],
)
def test_the_front_door_leads_to_the_native_protocol(given, address):
    assert websocket_url(given) == address


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("wss://push.example.org/", "https://push.example.org"),
        ("ws://[::1]:8080/push/", "http://[::1]:8080/push"),
    ],
)
def test_calls_go_to_the_front_door(given, address):
    assert http_url(given) == address


@EACH
@pytest.mark.parametrize(
    ("url", "begins"),
    [
        ("", "no scheme"),
        ("example.org", "no scheme"),
        ("ftp://example.org", "ftp:"),
        ("localhost:8080", "localhost:"),
        ("http://", "http:"),
        ("/ws", "no scheme"),
    ],
)
def test_what_is_no_address_is_refused(address, url, begins):
    with pytest.raises(OpenlineError, match=f"front door.*begins with {begins}"):
        address(url)


@EACH
@pytest.mark.parametrize("url", ["http://a:port", "http://a:99999", "http://[::1"])
def test_a_port_that_is_none_is_refused_before_anything_is_dialled(address, url):
    with pytest.raises(OpenlineError, match="up to 65535") as refused:
        address(url)
    assert refused.value.code == "bad_configuration"


@EACH
@pytest.mark.parametrize(
    "url",
    [
        "http://a/?token=hush",
        "http://user:hush@a/",
        "http://:hush@a/",
        "http://a/#hush",
        "ftp://user:hush@a",
        "http://user:hush@a:port",
    ],
)
def test_no_secret_in_an_address_and_none_in_the_text(address, url):
    with pytest.raises(OpenlineError) as refused:
        address(url)
    assert refused.value.code == "bad_configuration"
    assert "hush" not in str(refused.value)


def test_client_and_publisher_refuse_a_wrong_address_when_they_are_made():
    for make in (Client, Publisher):
        with pytest.raises(OpenlineError, match="up to 65535"):
            make("http://127.0.0.1:port", token="t")
