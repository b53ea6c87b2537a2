"""What the page may order of a local run, by whom, and what becomes of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import httpx2
import pytest

from deploy.local import nginx, plan
from deploy.local.demo import app, back_end
from deploy.local.demo.running import Running
from services.kernel.ops.settings import load

HERE = "http://127.0.0.1:8080"


@pytest.fixture
def run(tmp_path):
    """A run with a process that its list of processes calls a gateway, one that only has its number, and none."""
    with (
        waiting("services.gateway") as gateway,
        waiting("other") as other,
    ):
        content = {
            "gateways": ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"],
            "pids": {"supervisor": 1, "gateway-1": gateway.pid, "gateway-2": other.pid},
        }
        (tmp_path / "run.json").write_text(json.dumps(content))
        try:
            yield tmp_path, gateway, other
        finally:
            gateway.kill()
            other.kill()


def waiting(argument):
    """A process with this among its arguments."""
    return subprocess.Popen(["sh", "-c", "read _", argument], stdin=subprocess.PIPE)


@pytest.fixture
def ask(tmp_path):
    transport = httpx2.ASGITransport(app.create(tmp_path))
    client = httpx2.AsyncClient(transport=transport, base_url=HERE)

    def asked(path, *, method="POST", origin=HERE, host="127.0.0.1:8080"):
        headers = {"host": host, **({"origin": origin} if origin else {})}
        return client.request(method, path, headers=headers)

    return asked


async def test_a_page_of_this_machine_kills_a_gateway_as_a_crash_does(run, ask):
    _, gateway, _ = run
    answer = await ask("/demo/gateways/gateway-1/kill")
    assert (answer.status_code, answer.json()) == (202, {"killed": "gateway-1"})
    assert gateway.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "127.0.0.1:8080"),
        ("http://evil.example:8080", "evil.example:8080"),  # whose name was made to point here
        ("http://localhost:3000", "localhost:8080"),  # another server of this machine
        ("http://127.0.0.1.evil.example:8080", "127.0.0.1.evil.example:8080"),
        ("https://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[", "127.0.0.1:8080"),
        ("null", "127.0.0.1:8080"),
        (None, "127.0.0.1:8080"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/demo/gateways/gateway-1/kill", "/demo/feed", "/demo/notifications"]
)
async def test_nobody_else_orders_anything(run, ask, path, origin, host):
    _, gateway, _ = run
    answer = await ask(path, origin=origin, host=host)
    assert answer.status_code == 403
    assert "on this machine" in answer.json()["detail"]
    assert gateway.poll() is None


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"])
def test_a_page_may_order_under_each_name_of_this_machine(host):
    assert app.own_page(f"http://{host}", host)


async def test_an_order_is_a_post(run, ask):
    _, gateway, _ = run
    assert (await ask("/demo/gateways/gateway-1/kill", method="GET")).status_code == 405
    assert gateway.poll() is None


async def test_gateways_are_not_killed_in_a_row(run, ask):
    del run
    await ask("/demo/gateways/gateway-1/kill")
    assert (await ask("/demo/gateways/gateway-1/kill")).status_code == 429


async def test_only_gateways_are_killed(run, ask):
    _, _, other = run
    assert (await ask("/demo/gateways/supervisor/kill")).status_code == 404
    answer = await ask("/demo/gateways/gateway-2/kill")  # its number belongs to another by now
    assert answer.status_code == (409 if sys.platform == "linux" else 202)
    assert sys.platform != "linux" or other.poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no /proc to look into")
def test_it_says_which_gateways_are_up(run):
    folder, gateway, _ = run
    expected = {"gateway-1": gateway.pid, "gateway-2": None, "gateway-3": None}
    assert Running(folder).gateways() == expected


async def test_before_the_run_is_up_it_says_so(ask):
    for method, path in (("GET", "/demo/gateways"), ("POST", "/demo/gateways/gateway-1/kill")):
        assert (await ask(path, method=method)).status_code == 503


def test_the_curve_stays_within_the_chart():
    values = [back_end.value(number) for number in range(20_000)]
    assert 0 <= min(values) < 30
    assert 70 < max(values) <= 100


def test_without_being_told_to_a_run_takes_no_orders(monkeypatch, tmp_path):
    for name in ("OPENLINE_DEMO", "OPENLINE_DEMO_PORT"):
        monkeypatch.delenv(name, raising=False)
    made = plan.make(load(plan.Settings))
    assert made.demo_port is None
    nginx.write(made, tmp_path, shutdown=1)
    assert "proxy_pass" not in (tmp_path / "demo.conf").read_text()


def test_orders_come_to_nginx_from_this_machine_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENLINE_DEMO", "on")
    made = plan.make(load(plan.Settings))
    nginx.write(made, tmp_path, shutdown=1)
    written = (tmp_path / "demo.conf").read_text()
    assert f"proxy_pass http://127.0.0.1:{made.demo_port};" in written
    assert written.index("allow 127.0.0.1;") < written.index("deny all;")
