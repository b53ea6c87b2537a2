"""Our images: one service each, what the lock says and nothing else, unprivileged, the same at each build."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import ROOT
from tests.support.waiting import wait_until
from tests.unit.deploy.test_requirements import locked

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images")]

SERVICES = ("gateway", "auth", "publisher")
ALL = (*SERVICES, "loadtest")
RESTRICTED = ("--read-only", "--tmpfs", "/tmp:mode=1777", "--cap-drop", "ALL")
RESTRICTED += ("--security-opt", "no-new-privileges", "--network", "none")


def docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=280, check=False
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + ("" if check else done.stderr)


def run(image: str, *command: str) -> str:
    """What a command prints in the image, as hardened as it is meant to run."""
    program, *arguments = command
    options = ("--rm", *RESTRICTED, "--entrypoint", program)
    return docker("run", *options, f"localhost/openline/{image}:dev", *arguments)


def described(image: str) -> dict:
    (found,) = json.loads(docker("image", "inspect", f"localhost/openline/{image}:dev"))
    return found["Config"]


@pytest.mark.parametrize("image", ALL)
def test_an_image_is_unprivileged_and_says_what_it_is(image: str) -> None:
    config = described(image)
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"][0] in ("python", "locust")  # no shell between a signal and us
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == f"openline/{image}"
    assert labels["org.opencontainers.image.version"] == "dev"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.description"]
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert len(labels["org.opencontainers.image.revision"]) == len(head.stdout.strip())


@pytest.mark.parametrize("image", SERVICES)
def test_an_image_holds_its_service_its_commands_and_the_kernel_alone(image: str) -> None:
    commands = ["handover"] if image == "publisher" else []
    assert run(image, "sh", "-c", "ls /app /app/services").split() == [
        "/app:",
        "pyproject.toml",
        "services",
        "/app/services:",
        "__init__.py",
        "__pycache__",
        *sorted([image, "kernel", *commands]),
    ]


def test_the_load_image_holds_no_service() -> None:
    assert run("loadtest", "ls", "/app").split() == ["loadtest"]


@pytest.mark.parametrize("image", ALL)
def test_the_packages_are_those_of_the_lock(image: str) -> None:
    code = "import importlib.metadata as m; print(*sorted(f'{d.name}=={d.version}' for d in m.distributions()))"
    pairs = (item.split("==") for item in run(image, "python", "-c", code).split())
    installed = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}
    lock = locked(f"deploy/requirements/{image}.txt")
    assert installed
    assert {name: lock[name][0] for name in installed} == installed
    # What is locked for other systems only is not here.
    assert len(installed) > len(lock) * 0.8


@pytest.mark.parametrize("image", SERVICES)
def test_a_service_starts_on_a_read_only_root(image: str) -> None:
    shown = run(image, "python", "-m", f"services.{image}", "--help")
    assert f"python -m services.{image}" in shown


def test_locust_starts_on_a_read_only_root() -> None:
    assert "locust" in run("loadtest", "locust", "--version")


@pytest.mark.parametrize("image", ALL)
def test_nothing_else_of_the_checkout_comes_along(image: str) -> None:
    names = " -o ".join(f"-name {name}" for name in ("secrets", "'*.pem'", "'.git*'", "tests"))
    found = run(image, "sh", "-c", f"find /app /etc/openline /var/lib/openline {names} || true")
    assert found == ""
    assert run(image, "sh", "-c", "command -v gcc || true") == ""


@pytest.fixture
def publisher() -> Iterator[str]:
    """A publisher without a Redis: up, and not ready."""
    name = f"openline-test-{time.monotonic_ns()}"
    docker(
        "run",
        "-d",
        "--name",
        name,
        *RESTRICTED,
        "--health-interval",
        "1s",
        "--health-start-period",
        "0s",
        "--health-retries",
        "2",
        "localhost/openline/publisher:dev",
    )
    yield name
    docker("rm", "-f", name)


def test_the_health_check_tells_a_service_that_is_not_ready(publisher: str) -> None:
    state = ("inspect", "--format", "{{.State.Health.Status}}", publisher)
    wait_until(lambda: docker(*state).strip() == "unhealthy", timeout=60)
    checks = json.loads(docker("inspect", "--format", "{{json .State.Health.Log}}", publisher))
    assert checks[-1]["Output"].strip() == "503"


def test_an_order_to_stop_comes_to_python(publisher: str) -> None:
    wait_until(lambda: "server_started" in docker("logs", publisher), timeout=60)
    # Seconds of the engine's own, after which it would be killed.
    docker("stop", "-t", "15", publisher)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", publisher).strip() == "0"
    assert "server_stopped" in docker("logs", publisher)


def test_the_same_sources_give_the_same_files_whatever_the_umask(tmp_path: Path) -> None:
    listing = (
        "find /opt/venv /app /etc/openline -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum;"
        "find /app /etc/openline -printf '%m %p\\n' | LC_ALL=C sort"
    )
    for name in ("services", "loadtest", "deploy"):
        ignored = shutil.ignore_patterns("__pycache__", "secrets", "tls", ".env")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in (".dockerignore", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "services/kernel").chmod(0o700)
    for file in tmp_path.glob("services/**/*.py"):
        file.chmod(0o664)
    (tmp_path / "deploy/namespaces.toml").chmod(0o600)
    again = f"openline-test-again:{time.monotonic_ns()}"
    subprocess.run(
        ["docker", "compose", "-p", "openline-test-again", "-f", "-", "build", "--no-cache"],
        input=json.dumps(
            {
                "services": {
                    "publisher": {
                        "image": again,
                        "build": {
                            "context": str(tmp_path),
                            "dockerfile": "deploy/Dockerfile",
                            "target": "publisher",
                        },
                    }
                }
            }
        ),
        text=True,
        capture_output=True,
        check=True,
        timeout=280,
    )
    try:
        second = docker("run", "--rm", *RESTRICTED, "--entrypoint", "sh", again, "-c", listing)
    finally:
        docker("rmi", again)
    assert run("publisher", "sh", "-c", listing).splitlines() == second.splitlines()


@pytest.mark.parametrize("frame", ["containers.conf", "containers-tls.conf"])
def test_nginx_takes_the_frames_for_containers(frame: str, tmp_path) -> None:
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-keyout",
            tmp_path / "tls.key",
            "-out",
            tmp_path / "tls.crt",
        ],
        check=True,
        capture_output=True,
    )
    (tmp_path / "tls.key").chmod(0o644)
    tmp_path.chmod(0o755)
    image = json.loads(
        docker("compose", "-f", str(ROOT / "deploy/compose.yaml"), "config", "--format", "json")
    )["services"]["nginx"]["image"]
    shown = docker(
        "run",
        "--rm",
        *RESTRICTED,
        "--user",
        "101:101",
        "--entrypoint",
        "sh",
        "-v",
        f"{ROOT}/nginx:/etc/openline/nginx:ro",
        "-v",
        f"{ROOT}/web:/srv/web:ro",
        "-v",
        f"{tmp_path}:/run/tls:ro",
        image,
        "/etc/openline/nginx/serve.sh",
        "nginx",
        "-t",
        "-e",
        "/dev/stderr",
        "-c",
        f"/etc/openline/nginx/{frame}",
        check=False,
    )
    assert "test is successful" in shown
    assert "[warn]" not in shown
