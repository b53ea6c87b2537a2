"""The examples of README.md and of the pages in docs, run as they stand; names and links in them lead somewhere."""

from __future__ import annotations

import itertools
import json
import re
import secrets
import sys
import threading
import types
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi.testclient import TestClient

from deploy.local.ports import free_port
from services.kernel.domain.namespaces import Namespace
from tests.support.documents import Follower, blocks, example, following, headings
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

CLIENTS, NAMESPACES, TOKENS = "docs/clients.md", "docs/namespaces.md", "docs/tokens.md"
OBSERVABILITY, TUTORIALS = "docs/observability.md", "docs/from-the-tutorials.md"
PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
PAGES += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
# Whole folders: reference/ by test_http_reference.py, those that need the client packages by tests/clients.
WITH_OTHERS = ("docs/reference/", "docs/recipes/", "docs/guides/", "docs/start/")
# What the Python client and publishers read.
OF_CLIENTS = {f"OPENLINE_{name}" for name in ("URL", "TOKEN", "CLIENT_ID", "CLIENT_SECRET")}
RUN: set[tuple[str, str, int]] = set()
# What cannot be run here, and what looks after it.
ELSEWHERE = {
    ("README.md", "First message", 2): "test_docs_browser.py",
    (CLIENTS, "EventSource", 0): "test_docs_browser.py",
    ("README.md", "Run it", 0): "test_run.py",
    ("docs/performance.md", "Performance", 0): "minutes of measuring",
    ("docs/performance.md", "What a bystander feels of a flood", 0): "tests/chaos/test_floods.py",
    ("docs/performance.md", "What others feel of a failover", 0): "minutes of load",
    ("docs/performance.md", "Storms", 0): "minutes of load",
    ("docs/chaos.md", "Chaos", 0): "tests/chaos/test_client_packages.py",
    ("docs/chaos.md", "Against a system of yours", 0): "tests/chaos/test_client_packages.py",
    ("docs/chaos.md", "Does it find anything?", 0): "minutes of faults",
    ("docs/chaos-report.md", "One Redis", 0): "minutes of faults",
    ("docs/chaos-report.md", "Sentinels", 0): "minutes of faults",
    ("docs/chaos-report.md", "Cluster", 0): "minutes of faults",
    ("docs/loadtest.md", "Load", 0): "test_load.py",
    ("docs/loadtest.md", "Many processes, many machines", 0): "test_load.py",
    ("docs/loadtest.md", "A soak", 0): "minutes of load",
    ("docs/loadtest.md", "After a failover", 0): "minutes of load",
    ("docs/deploy/sizing.md", "Sizing", 0): "minutes of measuring",
    ("README.md", "Deploy", 0): "tests/deploy/test_compose_shipped_faults.py",
    ("docs/deploy/backup.md", "Backup and restore", 0): "tests/deploy/test_compose_shipped_docs.py",
    ("docs/deploy/backup.md", "Restore", 0): "tests/deploy/test_compose_shipped_docs.py",
    ("docs/deploy/compose.md", "Compose", 0): "tests/deploy/test_compose_shipped_faults.py",
    ("docs/deploy/compose.md", "First message", 0): "tests/deploy/test_compose_shipped_docs.py",
    ("docs/loadtest.md", "Scale-out", 0): "takes eight minutes",
    ("docs/deploy/kubernetes.md", "Kubernetes", 0): "tests/deploy/test_k8s_kubectl.py",
    ("docs/deploy/kubernetes.md", "Kubernetes", 1): "needs a cluster",
    ("docs/deploy/kubernetes.md", "Watching and loading it", 0): "tests/deploy/test_k8s_kubectl.py",
    ("docs/deploy/kubernetes.md", "Watching and loading it", 1): "needs a cluster",
    ("docs/deploy/kubernetes.md", "Draining one gateway", 0): "tests/e2e/test_http_control.py",
    ("docs/deploy/kubernetes.md", "Signing keys", 0): "tests/deploy/test_k8s_manifests.py",
}


def runs(page: str, heading: str, *numbers: int) -> Callable[[Any], Any]:
    """Note which examples a test runs."""
    RUN.update((page, heading, number) for number in numbers)
    return lambda test: test


@pytest.fixture
def reader(stack: Stack, tmp_path: Path) -> Iterator[Follower]:
    """Somebody who follows the page on the shared system."""
    with following(stack, tmp_path) as follower:
        yield follower


@pytest.fixture
def backend(reader: Follower, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The module `openline` of the page on tokens, for the demo client."""
    client = reader.stack.run["clients"][0]
    monkeypatch.setenv("CLIENT_ID", client["client_id"])
    monkeypatch.setenv("CLIENT_SECRET", client["client_secret"])
    module = types.ModuleType("openline")
    (code,) = example(TOKENS, "A client for your back end", 1)
    exec(reader.code(code), vars(module))
    monkeypatch.setitem(sys.modules, "openline", module)
    yield module
    module.openline._http.close()


# ----------------------------------------------------------------------------------------------------- every page


def test_each_example_is_run() -> None:
    pages = [page for page in PAGES if page != TUTORIALS and not page.startswith(WITH_OTHERS)]
    runnable = {block[:3] for page in pages for block in blocks(page) if block.language}
    assert runnable == RUN | set(ELSEWHERE)


@pytest.mark.parametrize("page", PAGES)
def test_each_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text("utf-8")):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = urllib.parse.unquote(target).partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.exists(), target
        if anchor:
            titles = [
                title for level in (1, 2, 3) for title in headings(str(found.resolve()), level)
            ]
            assert anchor in {
                re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles
            }, target


@pytest.mark.parametrize("page", PAGES)
def test_each_setting_and_metric_exists(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    settings = (ROOT / "docs/reference/settings.md").read_text("utf-8")
    for name in set(re.findall(r"\bOPENLINE_[A-Z0-9_]+(?![A-Z0-9_*])", text)):
        assert f"`{name}`" in settings or name in OF_CLIENTS, name
    metrics = (ROOT / "docs/reference/metrics.md").read_text("utf-8")
    for name in set(re.findall(r"\bopenline_(?:gateway|publisher|auth)_\w+", text)):
        assert f"`{name.removesuffix('_bucket')}`" in metrics, name


# ------------------------------------------------------------------------------------------------------------ FAQ


@runs("docs/faq.md", "It never connects", 0)
def test_the_handshake_of_the_questions_is_answered(reader: Follower) -> None:
    (handshake,) = example("docs/faq.md", "It never connects", 0)
    waits = handshake._replace(
        code=f"{handshake.code.rstrip()} || true\n"
    )  # until its time is over
    assert "101" in reader.run(waits).splitlines()[0]


# --------------------------------------------------------------------------------------------------------- README


@runs("README.md", "First message", 0, 1)
def test_the_readme_publishes_and_listens(reader: Follower) -> None:
    publish, listen = example("README.md", "First message", 0, 1)
    answer = json.loads(reader.run(publish))
    assert answer["offset"] == 1
    listener = reader.start(listen)
    listener.wait_for("1 None {'text': 'hello'}")
    listener.wait_for("2 alice {'text': 'hi'}")


# --------------------------------------------------------------------------------------------------------- clients


@runs(CLIENTS, "When WebSocket is blocked", 0)
def test_a_client_speaks_over_http(reader: Follower) -> None:
    (code,) = example(CLIENTS, "When WebSocket is blocked", 0)
    there = f"{reader.stack.run['front_door']!r}, os.environ['ALICE'], 'room:{reader.room}'"
    said = reader.run(code, after=f"import os; asyncio.run(over_http({there}))")
    assert said == "hello\n"


# ------------------------------------------------------------------------------------------------------- namespaces


def test_each_option_is_explained() -> None:
    text = (ROOT / NAMESPACES).read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([\w]+)`? \|", text, re.MULTILINE))
    assert set(rows) == {field.name for field in fields(Namespace)} - {"name"}
    for option, default in rows.items():
        value = getattr(Namespace(name="x"), option)
        written = {None: "none", True: "true", False: "false"}
        assert default == (str(value) if type(value) is int else written.get(value, str(value)))


@pytest.fixture(scope="module")
def issuer() -> Iterator[tuple[str, dict[str, Any]]]:
    """The issuer of the page on tokens, served on a free port: its address, and what the example defines."""
    (code,) = example(TOKENS, "Your own issuer", 0)
    defined: dict[str, Any] = {}
    exec(code.code, defined)
    server = uvicorn.Server(uvicorn.Config(defined["app"], port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"127.0.0.1:{port}", defined
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def edited(
    tmp_path_factory: pytest.TempPathFactory, issuer: tuple[str, dict[str, Any]]
) -> Iterator[Stack]:
    """A system with the namespaces and the issuer of the pages."""
    folder = tmp_path_factory.mktemp("edited")
    shipped = (ROOT / "deploy/namespaces.toml").read_text("utf-8")
    (added,) = example(NAMESPACES, "Namespaces", 0)
    (listed,) = example(NAMESPACES, "Options", 0)
    assert listed.code in shipped
    (folder / "namespaces.toml").write_text(f"{shipped}\n{added.code}", encoding="utf-8")
    ports = [free_port() for _ in range(2)]
    given = {
        "OPENLINE_NAMESPACES": str(folder / "namespaces.toml"),
        "OPENLINE_PORT": str(ports[0]),
        "OPENLINE_AUTH_PORT": str(ports[1]),
        "OPENLINE_GATEWAYS": "1",
    }
    (settings,) = example(TOKENS, "Your own issuer", 1)
    code = settings.code.replace("127.0.0.1:9000", issuer[0])
    code = code.replace(":8080", f":{ports[0]}").replace(":8200", f":{ports[1]}")
    given |= dict(line.split("=", 1) for line in code.splitlines())
    with Stack(folder, **given) as running:
        yield running


@runs(NAMESPACES, "Namespaces", 0)
@runs(NAMESPACES, "Options", 0)
def test_the_namespaces_of_the_page_work(edited: Stack) -> None:
    answers = {
        data: httpx2.post(
            f"{edited.url}/v1/channels/ticker:gold/messages",
            json={"data": json.loads(data)},
            headers=edited.bearer(),
        ).status_code
        for data in ('{"symbol": "XAU", "price": 2000.5}', '{"symbol": "XAU"}')
    }
    assert list(answers.values()) == [201, 422]
    token = edited.connect_token("alice", channels={"doc:42": ["subscribe", "publish"]})
    for channel, status in (("doc:42", 200), ("doc:43", 403), ("dco:42", 404)):
        with httpx2.stream(
            "GET", f"{edited.url}/sse?channel={channel}", headers=edited.bearer(token)
        ) as answer:
            assert answer.status_code == status, channel


# ----------------------------------------------------------------------------------------------------------- tokens


@runs(TOKENS, "Your own issuer", 0, 1)
def test_a_token_of_an_own_issuer_opens_a_stream(
    edited: Stack, issuer: tuple[str, dict[str, Any]]
) -> None:
    token = issuer[1]["realtime_token"]("carol")
    assert personal(edited, token, "carol") == 200
    assert personal(edited, edited.user_token("alice"), "alice") == 200


def personal(stack: Stack, token: str, user: str) -> int:
    """The status of a stream of the user's own channel."""
    address = f"{stack.url}/sse?channel=user:{user}"
    with httpx2.stream("GET", address, headers=stack.bearer(token)) as answer:
        return answer.status_code


@runs(TOKENS, "A client for your back end", 0)
def test_a_client_is_added(reader: Follower) -> None:
    (add,) = example(TOKENS, "A client for your back end", 0)
    name = reader.room.replace("lobby", "shop")
    database = f"sqlite:///{reader.stack.var}/auth.db"
    assert (reader.stack.var / "auth.db").exists()
    added = json.loads(
        reader.run(
            add._replace(code=add.code.replace("shop", name)), OPENLINE_DATABASE_URL=database
        )
    )
    answer = httpx2.post(
        f"{reader.stack.url}/auth/token",
        data={"grant_type": "client_credentials"},
        auth=(added["client_id"], added["client_secret"]),
    )
    assert answer.json()["scope"].split() == ["publish", "read", "tokens"]


@runs(TOKENS, "A client for your back end", 1, 2)
@runs(TOKENS, "A cookie", 0)
def test_a_fastapi_back_end_mints_tokens_and_sets_the_cookie(
    reader: Follower, backend: types.ModuleType
) -> None:
    (fastapi,) = example(TOKENS, "A client for your back end", 2)
    (cookie,) = example(TOKENS, "A cookie", 0)
    defined: dict[str, Any] = {}
    exec(fastapi.code + cookie.code, defined)
    with TestClient(defined["app"], base_url="https://shop.test") as shop:
        token = shop.post("/realtime-token").json()["token"]
        assert personal(reader.stack, token, "alice") == 200
        assert shop.post("/realtime-cookie").status_code == 204
        kept = shop.cookies["openline_token"]
    cookies = {"Cookie": f"openline_token={kept}", "Origin": reader.stack.url}
    address = f"{reader.stack.url}/sse?channel=user:alice"
    with httpx2.stream("GET", address, headers=cookies) as answer:
        assert answer.status_code == 200
    with httpx2.stream(
        "GET", address, headers={**cookies, "Origin": "https://evil.test"}
    ) as answer:
        assert answer.status_code == 403


@runs(TOKENS, "A client for your back end", 3)
def test_a_django_view_mints_tokens(reader: Follower, backend: types.ModuleType) -> None:
    (view,) = example(TOKENS, "A client for your back end", 3)
    compiled = compile(view.code, str(view), "exec")
    import django  # noqa: PLC0415 - each worker would import it with the file
    from django.conf import settings  # noqa: PLC0415
    from django.test import RequestFactory  # noqa: PLC0415

    settings.configure(ALLOWED_HOSTS=["*"])
    django.setup()
    defined: dict[str, Any] = {}
    exec(compiled, defined)
    request = RequestFactory().post("/realtime-token")
    request.user = types.SimpleNamespace(pk=42, is_authenticated=True, get_username=lambda: "alice")
    answer = json.loads(defined["realtime_token"](request).content)
    assert personal(reader.stack, answer["token"], "42") == 200


@runs(TOKENS, "What a token allows", 0)
def test_a_token_allows_what_its_claim_lists(backend: types.ModuleType, reader: Follower) -> None:
    (mint,) = example(TOKENS, "What a token allows", 0)
    defined: dict[str, Any] = {"openline": backend.openline}
    exec(mint.code.replace("doc:", "notify:"), defined)
    for channel, status in (("room:team-1", 200), ("notify:42", 200), ("room:lobby", 403)):
        with httpx2.stream(
            "GET",
            f"{reader.stack.url}/sse?channel={channel}",
            headers=reader.stack.bearer(defined["token"]),
        ) as answer:
            assert answer.status_code == status, channel


@runs(TOKENS, "Shutting somebody out", 0)
def test_who_is_shut_out_by_name_is_out(reader: Follower) -> None:
    (revoke,) = example(TOKENS, "Shutting somebody out", 0)
    user = f"u-{secrets.token_hex(4)}"
    token = reader.stack.connect_token(user, ttl=600)
    url = f"{reader.stack.url}/sse?channel=user:{user}"
    headers = {**reader.stack.bearer(token), "Accept": "text/event-stream"}
    with httpx2.stream("GET", url, headers=headers, timeout=30) as answer:
        lines = answer.iter_lines()
        assert "event: subscribed" in itertools.islice(lines, 4)
        reader.run(revoke._replace(code=revoke.code.replace("alice", user)))
        assert "event: problem" in lines, "the stream goes on"
    assert httpx2.get(url, headers=reader.stack.bearer(token)).status_code == 401


@runs(TOKENS, "Tickets, for URLs", 0)
def test_a_ticket_is_good_once(reader: Follower) -> None:
    (ask,) = example(TOKENS, "Tickets, for URLs", 0)
    ticket = json.loads(reader.run(ask))["ticket"]
    statuses = []
    for _ in range(2):
        address = f"{reader.stack.url}/sse?channel=user:alice&ticket={ticket}"
        with httpx2.stream("GET", address) as answer:
            statuses.append(answer.status_code)
    assert statuses == [200, 401]


# ---------------------------------------------------------------------------------------------------- observability


@runs(OBSERVABILITY, "Observability", 0)
def test_each_service_says_how_it_is(reader: Follower) -> None:
    (ask,) = example(OBSERVABILITY, "Observability", 0)
    answers = reader.run(ask).replace("}{", "}\n{").splitlines()
    assert [json.loads(answer).get("ready", True) for answer in answers] == [True] * 4
    assert json.loads(answers[0])["store"] == "ok"
    assert httpx2.get(f"{reader.stack.url}/readyz").status_code == 404


def test_each_service_shows_its_metrics_and_those_of_its_process(stack: Stack) -> None:
    reference = (ROOT / "docs/reference/metrics.md").read_text("utf-8")
    for service, url in (
        ("gateway", stack.gateways[0]),
        ("publisher", stack.run["publisher"]),
        ("auth", stack.run["auth"]),
    ):
        shown = httpx2.get(f"{url}/metrics").text
        for name in set(re.findall(rf"`(openline_{service}_\w+)`", reference)):
            assert f"# TYPE {name} " in shown, name
        assert "process_resident_memory_bytes " in shown


def test_each_expression_uses_labels_that_exist(reader: Follower) -> None:
    metrics = (ROOT / "docs/reference/metrics.md").read_text("utf-8")
    text = (ROOT / OBSERVABILITY).read_text("utf-8")
    for name, label in re.findall(r"(openline_\w+)\{(\w+)=", text):
        (row,) = [line for line in metrics.splitlines() if line.startswith(f"| `{name}`")]
        assert f"`{label}`" in row
