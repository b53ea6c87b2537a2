"""What a local run decides before it starts anything."""

from __future__ import annotations

import os
import socket

import pytest

from deploy.local import nginx, plan


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in os.environ:
        if name.startswith("OPENLINE_"):
            monkeypatch.delenv(name)


def make(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(f"OPENLINE_{name}", str(value))
    return plan.make(plan.Settings())


def test_without_anything_given_the_ports_are_the_usual_ones(monkeypatch):
    made = make(monkeypatch)
    assert (made.port, made.gateway_ports) == (8080, (8101, 8102))
    assert (made.auth_port, made.publisher_port, made.redis_port) == (8200, 8300, 6390)
    assert made.redis_url == "redis://127.0.0.1:6390/0"
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


def test_a_door_open_to_all_is_reached_by_loopback(monkeypatch):
    made = make(monkeypatch, HOST="0.0.0.0", PORT=9999, PUBLIC_URL="https://rt.example.org/")
    assert made.front_door == "http://127.0.0.1:9999"
    assert made.public_url == "https://rt.example.org"


def test_a_port_in_use_is_one_line_with_a_way_out(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            plan.check_ports(make(monkeypatch, PORT=0, AUTH_PORT=port))
    line = capsys.readouterr().err
    assert ended.value.code == 2
    assert line.startswith(f"port {port} for auth is in use; choose another: OPENLINE_AUTH_PORT=")
    assert line.count("\n") == 1


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
        nginx.write(made, tmp_path / "nginx")
