"""The health check of images, against a real port."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deploy.local.ports import free_port
from services.kernel.ops import probe


@pytest.fixture
def answering():
    """Serve answers of a status on a port; yields `(port, status)` to set."""
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status[0] if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port, status
        server.shutdown()
        thread.join()


def run(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "services.kernel.ops.probe", *arguments],
        env=variables,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(("status", "exit_status"), [(200, 0), (503, 1)])
def test_the_exit_status_follows_readyz(answering, status, exit_status, monkeypatch, capsys):
    port, statuses = answering
    statuses[0] = status
    monkeypatch.setattr(sys, "argv", ["probe", "publisher"])
    monkeypatch.setenv("OPENLINE_PUBLISHER_PORT", str(port))
    assert probe.main() == exit_status
    assert capsys.readouterr().out == f"{status}\n"


def test_nothing_listening_is_a_failure():
    port = free_port()
    answer = run("gateway", OPENLINE_GATEWAY_PORT=str(port))
    assert answer.returncode == 1
    assert f"nothing ready on port {port}" in answer.stderr


@pytest.mark.parametrize("arguments", [(), ("nginx",), ("auth", "more")])
def test_other_arguments_are_refused(arguments):
    answer = run(*arguments)
    assert answer.returncode == 2
    assert "gateway, auth, publisher" in answer.stderr


def test_it_imports_next_to_nothing():
    code = "import sys, services.kernel.ops.probe as p; print(sorted({'pydantic','starlette','http'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
