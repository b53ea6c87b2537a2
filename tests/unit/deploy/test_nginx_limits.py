"""nginx's limits: read from the environment, bounded, no narrower than what the services allow."""

from __future__ import annotations

import re
import subprocess

import pytest

from deploy.local.front_door import Settings as FrontDoor
from services.kernel.domain.limits import Limits
from services.kernel.ops.settings import PREFIX
from tests.support.stack import ROOT

pytestmark = pytest.mark.server

SCRIPT = ROOT / "nginx" / "limits.sh"
FIELDS = FrontDoor.model_fields


def printed(**given: object) -> subprocess.CompletedProcess[str]:
    environment = {f"{PREFIX}{name.upper()}": str(value) for name, value in given.items()}
    return subprocess.run(
        ["sh", SCRIPT],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def bounds(name: str) -> tuple[int, int]:
    low, high = FIELDS[name].metadata
    return low.ge, high.le


def test_the_script_and_the_reference_know_the_same_limits() -> None:
    lines = re.findall(r"^limit (\w+) (\d+) (\d+) (\d+)$", SCRIPT.read_text("utf-8"), re.MULTILINE)
    found = {f"nginx_{name}": tuple(map(int, numbers)) for name, *numbers in lines}
    assert found == {name: (field.default, *bounds(name)) for name, field in FIELDS.items()}


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_given_is_what_nginx_gets(name: str) -> None:
    given = FIELDS[name].default + 7
    changed = set(printed(**{name: given}).stdout.splitlines()) - set(printed().stdout.splitlines())
    assert changed
    assert all(str(given) in line for line in changed)


def test_nothing_is_counted_without_limits_but_sizes_and_times_hold() -> None:
    text = printed(limits="off", nginx_body_seconds=3).stdout
    assert "limit_" not in text
    assert "client_max_body_size 1048576;" in text
    assert "client_body_timeout 3s;" in text


@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5", "1e3", "9" * 20, "x", "1;", "$(id)", "1000001"]
)
def test_what_is_no_number_within_its_bounds_is_refused(value: str) -> None:
    done = printed(nginx_page_rate=value)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"OPENLINE_NGINX_PAGE_RATE={value} is not ")
    assert done.stderr.endswith(" from 1 to 1000000\n")


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("nginx_connections", "connections_per_address"),
        ("nginx_body_bytes", "body_bytes"),
    ],
)
def test_nginx_cuts_short_nothing_that_a_service_allows(name: str, service: str) -> None:
    usual = getattr(Limits(), service)
    assert printed(**{name: usual}).returncode == 0
    least = max(bounds(name)[0], usual - 1)
    if least < usual:
        done = printed(**{name: least})
        assert (done.returncode, done.stdout) == (1, "")
        assert f"OPENLINE_{name.upper()}={least} is below OPENLINE_{service.upper()}={usual}: " in (
            done.stderr
        )
        assert printed(**{name: least, service: least}).returncode == 0
    assert printed(**{service: bounds(name)[1]}).returncode == 1


def test_every_deployment_writes_them_where_nginx_includes_them() -> None:
    for file in (ROOT / "nginx").glob("*.conf"):
        text = file.read_text("utf-8")
        assert not re.search(r"^ *(limit_req|limit_conn) ", text, re.MULTILINE), file.name
    frames = {
        "nginx/nginx.conf.template": "include limits.conf;",
        "nginx/containers-http.conf": "include /tmp/openline-limits*.conf;",
        "deploy/systemd/nginx.conf": "include /run/openline-nginx/limits.conf;",
    }
    for frame, line in frames.items():
        assert line in (ROOT / frame).read_text("utf-8")
    assert "LIMITS_FILE:=/tmp/openline-limits.conf" in (ROOT / "nginx/serve.sh").read_text("utf-8")


def test_compose_passes_them_on() -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text("utf-8")
    nginx = text[text.index("\n  nginx:\n") : text.index("\n  prometheus:\n")]
    passed = set(re.findall(r"^      (OPENLINE_\w+):$", nginx, re.MULTILINE))
    needed = {PREFIX + name.upper() for name in FIELDS}
    needed |= {"OPENLINE_LIMITS", "OPENLINE_BODY_BYTES", "OPENLINE_CONNECTIONS_PER_ADDRESS"}
    assert needed <= passed
