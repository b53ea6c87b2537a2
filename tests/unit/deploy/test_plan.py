"""What a local run decides before it starts anything."""

from __future__ import annotations

import os
import re
import socket
import sys

import pytest

from deploy.local import nginx, plan, ports
from services.kernel.ops.settings import load


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in os.environ:
        if name.startswith("OPENLINE_"):
            monkeypatch.delenv(name)


def make(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(f"OPENLINE_{name}", str(value))
    return plan.make(load(plan.Settings))


def refused(capsys, act):
    """The one line with which `act()` ends the process."""
    with pytest.raises(SystemExit) as ended:
        act()
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


def test_without_anything_given_the_ports_are_the_usual_ones(monkeypatch):
    made = make(monkeypatch)
    assert (made.port, made.gateway_ports) == (8080, (8101, 8102))
    assert (made.auth_port, made.publisher_port, made.redis_port) == (8200, 8300, 6390)
    assert re.fullmatch(r"redis://:[0-9a-f]{48}@127\.0\.0\.1:6390/0", made.redis_url)
    assert made.redis_url != make(monkeypatch).redis_url
    assert made.public_url == made.front_door == "http://127.0.0.1:8080"


def test_with_only_the_front_doors_port_given_all_the_others_are_free_ones(monkeypatch):
    made = make(monkeypatch, PORT=9999, GATEWAYS=3)
    ports = [port for _, port, _, _ in made.listeners()]
    assert made.port == 9999
    assert len(set(ports)) == len(ports) == 8
    assert {8101, 8200, 8300, 6390}.isdisjoint(ports)


def test_what_is_given_is_kept(monkeypatch):
    made = make(monkeypatch, PORT=9999, AUTH_PORT=9001, PUBLISHER_PORT=9002, GATEWAY_PORT=9003)
    assert (made.auth_port, made.publisher_port) == (9001, 9002)
    assert made.gateway_ports == (9003, 9004)


def test_a_redis_that_is_given_is_used_and_none_is_started(monkeypatch):
    made = make(monkeypatch, REDIS_URL="redis://elsewhere:1/0")
    assert (made.redis_url, made.redis_port) == ("redis://elsewhere:1/0", None)


def test_several_servers_that_are_given_are_used_and_none_is_started(monkeypatch, tmp_path):
    (tmp_path / "servers").write_text('[[servers]]\nurl = "redis://a"\npartitions = "0"')
    made = make(monkeypatch, REDIS_SERVERS_FILE=tmp_path / "servers")
    assert (made.redis_url, made.redis_port) == ("", None)
    assert "OPENLINE_REDIS_URL" not in plan.environment(made, {})


def test_a_door_open_to_all_is_reached_by_loopback(monkeypatch):
    made = make(monkeypatch, HOST="0.0.0.0", PORT=9999, PUBLIC_URL="https://rt.example.org/")
    assert made.front_door == "http://127.0.0.1:9999"
    assert made.public_url == "https://rt.example.org"


@pytest.mark.parametrize("host", ["::", "::1"])
def test_a_door_by_ipv6_has_a_url_too(monkeypatch, host):
    made = make(monkeypatch, HOST=host, PORT=9999)
    assert made.front_door == made.public_url == "http://[::1]:9999"


def test_a_port_in_use_is_one_line_with_a_way_out(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        made = make(monkeypatch, PORT=0, AUTH_PORT=port, VAR="var-8090")
        line = refused(capsys, lambda: plan.check_ports(made))
    assert line.startswith(f"port {port} for auth is in use; choose another: OPENLINE_AUTH_PORT=")
    # Whoever pastes it starts the same copy, not the one in the usual folder.
    assert " OPENLINE_PORT=0 OPENLINE_VAR=var-8090 make run" in line


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares connections out")
def test_of_two_runs_that_start_at_once_on_one_port_the_second_is_refused(monkeypatch, capsys):
    """Both find it free, and two nginx of one user may listen on it."""
    made = make(monkeypatch, PORT=ports.free_port(), VAR="var-8090")
    with plan.front_door_claimed(made):
        plan.check_ports(made)
        line = refused(capsys, plan.front_door_claimed(made).__enter__)
    assert line.startswith(f"port {made.port} for the front door is in use by another run")
    assert " OPENLINE_VAR=var-8090 make run" in line
    with plan.front_door_claimed(made):
        pass


def test_an_address_of_another_machine_is_not_a_port_in_use(monkeypatch, capsys):
    for host in ("192.0.2.1", "nowhere.invalid"):
        made = make(monkeypatch, HOST=host, PORT=0)
        line = refused(capsys, lambda made=made: plan.check_ports(made))
        assert line.startswith(f"OPENLINE_HOST={host}: ")
        assert "an address of this machine" in line


def test_two_that_were_given_the_same_port_are_named(monkeypatch, capsys):
    port = ports.free_port()
    made = make(monkeypatch, PORT=port, AUTH_PORT=port)
    line = refused(capsys, lambda: plan.check_ports(made))
    assert line.startswith(f"OPENLINE_AUTH_PORT={port}: that is the front door's port already")


def test_free_ports_avoid_those_that_were_given(monkeypatch):
    monkeypatch.setattr(plan, "free_port", iter(range(9001, 9100)).__next__)
    made = make(monkeypatch, PORT=9999, PUBLISHER_PORT=9001)
    chosen = [port for _, port, _, _ in made.listeners()]
    assert len(set(chosen)) == len(chosen)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("REDIS_URL", "http://x"), ("PUBLIC_URL", "example.org"), ("ALLOWED_ORIGINS", "*")],
)
def test_what_services_would_refuse_is_refused_before_anything_starts(
    monkeypatch, capsys, variable, value
):
    line = refused(capsys, lambda: make(monkeypatch, **{variable: value}))
    assert line.startswith(f"OPENLINE_{variable}={value!r}: ")


def test_gateways_beyond_the_last_port_are_refused(monkeypatch, capsys):
    line = refused(capsys, lambda: make(monkeypatch, GATEWAY_PORT=65535))
    assert line.startswith("OPENLINE_GATEWAY_PORT=65535 leaves no ports for 2 gateways")
    assert make(monkeypatch, GATEWAY_PORT=65534).gateway_ports == (65534, 65535)


def test_a_value_in_a_file_is_not_overruled_by_what_is_usual(monkeypatch, tmp_path):
    (tmp_path / "url").write_text("redis://elsewhere:1/0")
    made = make(monkeypatch, REDIS_URL_FILE=tmp_path / "url")
    assert made.redis_url == "redis://elsewhere:1/0"
    assert "OPENLINE_DATABASE_URL" not in plan.environment(
        made, {"OPENLINE_DATABASE_URL_FILE": "url"}
    )


def test_the_run_opens_the_demonstration_and_what_is_given_wins(monkeypatch):
    made = make(monkeypatch)
    usual = plan.environment(made, {})
    assert usual["OPENLINE_AUTH_REGISTRATION"] == "open"
    assert usual["OPENLINE_AUTH_PASSWORD_GRANT"] == "on"
    assert usual["OPENLINE_ECHO_MAX_BYTES"] == "65536"
    assert "http://localhost:*" in usual["OPENLINE_ALLOWED_ORIGINS"]
    given = plan.environment(
        made, {"OPENLINE_ECHO_MAX_BYTES": "7", "OPENLINE_AUTH_REGISTRATION": ""}
    )
    assert given["OPENLINE_ECHO_MAX_BYTES"] == "7"
    assert given["OPENLINE_AUTH_REGISTRATION"] == "open"


def test_allowed_origins_are_added_to(monkeypatch):
    made = make(monkeypatch, ALLOWED_ORIGINS="https://app.example.org")
    origins = plan.environment(made, {})["OPENLINE_ALLOWED_ORIGINS"].split(",")
    assert origins == ["https://app.example.org", "http://localhost:*"]


def test_templates_are_filled_outside_comments_and_nothing_is_left_open():
    text = "# ${NOT_THIS}\nlisten ${LISTEN}; # and $nginx_variables stay\n"
    assert (
        nginx.fill(text, {"LISTEN": "1:2"})
        == "# ${NOT_THIS}\nlisten 1:2; # and $nginx_variables stay\n"
    )
    with pytest.raises(KeyError):
        nginx.fill("${MISSING}\n", {})


def test_a_folder_that_nginx_cannot_name_is_refused(monkeypatch, tmp_path):
    made = make(monkeypatch, VAR=tmp_path / 'with"quote')
    with pytest.raises(ValueError, match="move it"):
        nginx.write(made, tmp_path / "nginx", shutdown=10)
