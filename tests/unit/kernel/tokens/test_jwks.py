"""Key sets by URL, from a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from services.kernel.tokens.jwks import MAX_BYTES, RemoteKeys
from tests.unit.kernel.tokens import signing


class Site:
    """An issuer's web server: what it answers can be changed while it runs."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.hits = 0
        self.gate = threading.Event()
        self.gate.set()
        site = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.hits += 1
                site.gate.wait(5)
                self.send_response(site.status)
                self.send_header("content-length", str(len(site.body)))
                self.end_headers()
                self.wfile.write(site.body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def show(self, *jwks: object) -> None:
        self.body = json.dumps({"keys": jwks}).encode()

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def site():
    one = Site()
    one.show(signing.jwk(signing.ED))
    yield one
    one.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def keys(site, clock):
    async with RemoteKeys([site.url], clock=clock) as remote:
        yield remote


async def test_keys_are_fetched(keys, site):
    assert not keys.loaded
    assert keys.find("ed", "EdDSA") == ()
    assert await keys.refresh()
    assert keys.loaded
    assert len(keys.find("ed", "EdDSA")) == 1
    assert keys.find("ed", "RS256") == ()


async def test_fetches_have_a_shortest_distance(keys, site, clock):
    for _ in range(20):
        await keys.refresh()
    assert site.hits == 1
    clock.now = 5
    await keys.refresh()
    assert site.hits == 2


async def test_callers_at_the_same_time_share_one_fetch_even_if_the_first_goes_away(keys, site):
    site.gate.clear()
    first = asyncio.create_task(keys.refresh())
    others = [asyncio.create_task(keys.refresh()) for _ in range(10)]
    await asyncio.sleep(0.05)
    first.cancel()
    site.gate.set()
    assert all(await asyncio.gather(*others))
    assert site.hits == 1


async def test_a_new_key_appears_and_a_removed_one_is_gone(keys, site, clock):
    await keys.refresh()
    before = keys.generation
    site.show(signing.jwk(signing.EC, kid="ec"))
    clock.now = 10
    await keys.refresh()
    assert len(keys.find("ec", "ES256")) == 1
    assert keys.find("ed", "EdDSA") == ()
    assert keys.generation > before


async def test_keys_that_share_a_kid_are_refused_unless_they_are_the_same(keys, site):
    twice = signing.jwk(signing.ED, kid="same")
    other = signing.jwk(ed25519.Ed25519PrivateKey.generate(), kid="two")
    site.show(
        twice, twice, signing.jwk(signing.ED, kid="two"), other, signing.jwk(signing.EC, kid="two")
    )
    await keys.refresh()
    assert len(keys.find("same", "EdDSA")) == 1
    assert keys.find("two", "EdDSA") == ()
    assert len(keys.find("two", "ES256")) == 1, "another type is another key (RFC 7517 section 4.5)"


async def test_an_unchanged_set_changes_nothing(keys, clock):
    await keys.refresh()
    before = keys.generation
    clock.now = 10
    await keys.refresh()
    assert keys.generation == before


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (404, b""),
        (302, b""),
        (200, b""),
        (200, b"[]"),
        (200, b'{"keys": 5}'),
        (200, b"[" * 100_000),
        (200, b"\xff\xfe"),
        (200, b" " * (MAX_BYTES + 1)),
        (200, json.dumps({"keys": [{}] * 101}).encode()),
    ],
)
async def test_a_failure_keeps_the_old_keys_and_is_said(keys, site, clock, status, body):
    await keys.refresh()
    site.status, site.body = status, body
    clock.now = 10
    assert not await keys.refresh()
    assert len(keys.find("ed", "EdDSA")) == 1
    assert not await keys.refresh(), "still failing when asked inside the pause"


async def test_a_server_that_is_slow_is_given_up(site, clock):
    site.gate.clear()
    async with RemoteKeys([site.url], clock=clock, timeout=0.1) as keys:
        assert not await keys.refresh()


async def test_unusable_keys_of_a_set_are_ignored(keys, site):
    site.show({"kty": "oct", "k": "AAAA"}, "x", signing.jwk(signing.ED))
    assert await keys.refresh()
    assert len(keys.find(None, "EdDSA")) == 1
    assert keys.find(None, "HS256") == ()


async def test_one_dead_url_does_not_hide_the_keys_of_another(site, clock):
    async with RemoteKeys(["http://127.0.0.1:1/none", site.url], clock=clock) as keys:
        assert not await keys.refresh()
        assert not keys.loaded
        assert len(keys.find("ed", "EdDSA")) == 1


async def test_run_refreshes_by_itself(site):
    async with RemoteKeys([site.url], every=0.02, cooldown=0.01) as keys:
        task = asyncio.create_task(keys.run())
        async with asyncio.timeout(5):
            while site.hits < 3:  # noqa: ASYNC110 - the server counts in a thread
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
