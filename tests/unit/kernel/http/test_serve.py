"""Serving, as processes: ports, signals, hooks."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from deploy.local.ports import free_port

pytestmark = pytest.mark.server

PROGRAM = """
import asyncio, resource, sys
from fastapi import FastAPI
from services.kernel.http import health
from services.kernel.domain.limits import Limits
from services.kernel.http import serve
from services.kernel.ops import logs

logs.configure("demo")
app = FastAPI()
app.router.routes += health.routes(lambda: health.Readiness(True, {}))

@app.get("/slow")
async def slow():
    print("ASKED", flush=True)
    await asyncio.sleep(0.5)
    return "done"

@app.get("/files")
async def files():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

async def started(server):
    print("STARTED", server.started, flush=True)

async def stopping(server):
    print("STOPPING", server.stopping, flush=True)
    if len(sys.argv) > 2:
        raise ValueError("hook")

serve.serve(app, host=sys.argv[1].rpartition(":")[0], port=int(sys.argv[1].rpartition(":")[2]),
            name="demo", limits=Limits(), on_started=started, on_stopping=stopping)
"""


def start(address, *more, **options):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, address, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture
def port():
    return free_port()


def wait_for(process, what="STARTED"):
    for line in process.stdout:
        if line.startswith(what):
            return
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_gracefully_and_with_status_0(port, number):
    process = start(f"127.0.0.1:{port}")
    wait_for(process)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
        assert answer.status == 200
        assert answer.headers["server"] is None
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert "STOPPING True" in output
    assert (process.returncode, errors) == (0, "")


def test_it_takes_all_the_files_that_it_may_have(port):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))

    process = start(f"127.0.0.1:{port}", preexec_fn=few)
    wait_for(process)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/files") as answer:
        taken = int(answer.read())
    process.terminate()
    process.communicate(timeout=60)
    assert taken == most


def test_a_request_under_way_is_answered_before_the_end(port):
    process = start(f"127.0.0.1:{port}")
    wait_for(process)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(process, "ASKED")
        process.terminate()
        assert b'"done"' in client.makefile("rb").read()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_failing_hook_does_not_stop_the_end(port):
    process = start(f"127.0.0.1:{port}", "fail")
    wait_for(process)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert "stopping_hook_failed" in output
    assert process.returncode == 0


def test_a_port_in_use_is_one_line_that_names_it_and_the_variable(port):
    with socket.create_server(("127.0.0.1", port)):
        process = start(f"127.0.0.1:{port}")
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors == (
        f"port {port} on 127.0.0.1 is in use; set OPENLINE_DEMO_PORT to a free port, or stop its user\n"
    )


def test_an_address_that_is_not_ours_is_one_line(port):
    process = start(f"192.0.2.1:{port}")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.count("\n") == 1
    assert "OPENLINE_DEMO_HOST" in errors
