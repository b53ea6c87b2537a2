"""The overrides for production: HTTPS at the front door, and Redis and PostgreSQL that are somebody else's."""

from __future__ import annotations

import os
import secrets
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.compose import ComposeStack
from tests.support.people import People
from tests.support.stack import ROOT
from tests.support.waiting import wait_until
from tests.support.wire import WireClient

pytestmark = pytest.mark.docker

FILES = (
    "deploy/compose.production.yaml",
    "deploy/compose.external.yaml",
    "tests/deploy/managed.yaml",
)


def certificate(folder: Path) -> Path:
    """A certificate for localhost that signs itself, as nginx's user can read it."""
    folder.mkdir()
    what = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    how = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    where = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run(
        ["openssl", "req", "-x509", *how, *what, *where], check=True, capture_output=True
    )
    os.chown(folder / "tls.key", 101, 101)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def stack(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """One project for the file."""
    folder = tmp_path_factory.mktemp("production")
    project = f"openline-test-{secrets.token_hex(3)}"
    made = ComposeStack(project, folder, files=FILES)
    made.serve_tls(certificate(folder / "tls"))
    made.environment["OPENLINE_EXTERNAL_REDIS"] = "redis://managed-redis:6379"
    made.make_secrets()
    theirs = folder / "secrets"
    for name in ("redis_url", "database_url", "redis_exporter.json"):
        text = (theirs / name).read_text()
        (theirs / name).unlink()
        for server in ("redis:", "postgres:"):
            text = text.replace(f"@{server}", f"@managed-{server}")
            text = text.replace(f"//{server}", f"//managed-{server}")
        (theirs / name).write_text(text)
        (theirs / name).chmod(0o444)
    with made as running:
        yield running


@pytest.fixture(scope="module")
def trust(stack: ComposeStack) -> ssl.SSLContext:
    """Who believes the certificate, and nothing else."""
    return ssl.create_default_context(cafile=str(stack.folder / "tls/tls.crt"))


def test_our_own_redis_and_postgresql_do_not_run(stack: ComposeStack) -> None:
    running = stack.compose("ps", "--services").split()
    assert {"gateway", "auth", "publisher", "nginx", "managed-redis"} <= set(running)
    assert not {"redis", "postgres"} & set(running)


async def test_a_message_travels_over_https(stack: ComposeStack, trust: ssl.SSLContext) -> None:
    async with People(stack.run) as people:
        await people.http.aclose()
        people.http = httpx2.AsyncClient(base_url=stack.url, verify=trust, timeout=15)
        token = await people.minted("alice")
        client = await WireClient.open(people.ws(), token, ssl=trust)
        await client.subscribe("room:lobby")
        await people.publish("room:lobby", "over TLS")
        assert (await client.message("room:lobby"))["data"] == "over TLS"
        await client.close()
        page = await people.http.get("/")
    assert page.headers["strict-transport-security"] == "max-age=31536000"
    assert page.http_version == "HTTP/1.1"


def test_plain_http_only_points_to_https(stack: ComposeStack) -> None:
    plain = f"http://localhost:{stack.port}"
    answer = httpx2.get(f"{plain}/v1/channels?x=1")
    assert answer.status_code == 308
    assert answer.headers["location"] == "https://localhost/v1/channels?x=1"
    assert httpx2.get(f"{plain}/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_only_the_present_versions_of_tls_are_spoken(
    stack: ComposeStack, trust: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    context = ssl.create_default_context(cafile=str(stack.folder / "tls/tls.crt"))
    context.minimum_version = context.maximum_version = version
    assert httpx2.get(f"{stack.url}/healthz", verify=context).status_code == 200


def test_a_renewed_certificate_is_taken_by_a_reload(stack: ComposeStack) -> None:
    renewed = certificate(stack.folder / "renewed")
    for name in ("tls.crt", "tls.key"):
        (renewed / name).replace(stack.folder / "tls" / name)
    # As docs/deploy/tls.md says.
    stack.compose(
        "exec",
        "-T",
        "nginx",
        "nginx",
        "-c",
        "/etc/openline/nginx/containers-tls.conf",
        "-s",
        "reload",
    )
    context = ssl.create_default_context(cafile=str(stack.folder / "tls/tls.crt"))

    def renewed_is_shown() -> bool:
        try:
            return httpx2.get(f"{stack.url}/healthz", verify=context).status_code == 200
        except httpx2.ConnectError:
            return False

    wait_until(renewed_is_shown, timeout=15)


def test_the_public_url_must_be_given() -> None:
    done = subprocess.run(
        ["docker", "compose", "-f", "deploy/compose.yaml", "-f", FILES[0], "config", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if "OPENLINE" not in k},
        timeout=60,
    )
    assert done.returncode
    assert "OPENLINE_PUBLIC_URL is not set" in done.stderr
