"""Every limit is a setting, with bounds, and those that depend on each other are checked together."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from services.auth.settings import Settings as Auth
from services.gateway.settings import Settings as Gateway
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.domain.limits import Limits
from services.kernel.domain.namespaces import Access, Namespace, Namespaces
from services.kernel.ops import limits
from services.kernel.ops.settings import load
from services.publisher.settings import Settings as Publisher

NGINX = Path(__file__).resolve().parents[4] / "nginx"
SERVICES = {"auth": Auth, "gateway": Gateway, "publisher": Publisher}


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OPENLINE_")]:
        monkeypatch.delenv(name)


def named(name, **options):
    return Namespaces({name: Namespace(name=name, **options)})


@pytest.mark.parametrize(
    "limit", [f for f in dataclasses.fields(Limits) if f.name != "rates"], ids=lambda f: f.name
)
def test_each_limit_is_a_setting_of_the_services_that_keep_it(limit):
    """Declare a limit by `_limit`: then it is read, bounded and listed."""
    assert limit.metadata["services"]
    for service in limit.metadata["services"]:
        field = SERVICES[service].model_fields[limit.name]
        assert field.default == limit.default
        assert limit.metadata["low"] <= limit.default <= limit.metadata["high"]
        assert field.description.startswith(limit.metadata["what"])


def test_what_is_given_becomes_the_services_limits(monkeypatch):
    monkeypatch.setenv("OPENLINE_CONNECTIONS_PER_ADDRESS", "1001")
    monkeypatch.setenv("OPENLINE_COMMAND_RATE", "0.5")
    monkeypatch.setenv("OPENLINE_LIMITS", "off")
    given = limits.of(load(Gateway))
    assert given == Limits(rates=False, connections_per_address=1001, command_rate=0.5)
    assert limits.of(load(Publisher)) == Limits(rates=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONNECTIONS_PER_USER", "0"),
        ("CONNECTIONS_PER_ADDRESS", "1000001"),
        ("COMMAND_RATE", "0"),
        ("FRAME_BYTES", "1"),
        ("PING_SECONDS", "90"),
    ],
)
def test_a_limit_outside_its_bounds_is_refused(monkeypatch, capsys, name, value):
    monkeypatch.setenv(f"OPENLINE_{name}", value)
    with pytest.raises(SystemExit):
        load(Gateway)
    assert capsys.readouterr().err.startswith(f"OPENLINE_{name}='{value}': ")


@pytest.mark.parametrize("name", ["COMMAND", "USER", "UNHEARD", "REFUSAL"])
def test_a_burst_below_its_rate_is_refused(monkeypatch, capsys, name):
    monkeypatch.setenv(f"OPENLINE_{name}_RATE", "99999")
    monkeypatch.setenv(f"OPENLINE_{name}_BURST", "99998")
    with pytest.raises(SystemExit):
        load(Gateway)
    assert capsys.readouterr().err.startswith(
        f"OPENLINE_{name}_BURST=99998 is below OPENLINE_{name}_RATE=99999: "
    )


@pytest.mark.parametrize("name", ["frame_bytes", "outbox_bytes", "body_bytes"])
def test_a_message_that_a_namespace_allows_must_pass(name):
    room = named("room", message_bytes=70_000, publish=Access.MEMBERS)
    limits.check(Limits(**{name: 70_000}), room)
    with pytest.raises(ConfigurationError) as refused:
        limits.check(Limits(**{name: 69_999}), room)
    assert str(refused.value).startswith(
        f"OPENLINE_{name.upper()}=69999 is below message_bytes = 70000 of the namespace 'room'"
    )


def test_what_a_frame_may_hold_a_user_must_be_able_to_send():
    limits.check(Limits(frame_bytes=4_194_304), named("room"))
    with pytest.raises(ConfigurationError) as refused:
        limits.check(Limits(frame_bytes=4_194_305), named("room"))
    assert str(refused.value).startswith(
        "OPENLINE_USER_BYTES_BURST=4194304 is below OPENLINE_FRAME_BYTES=4194305: "
    )


def test_frames_may_be_small_where_no_client_publishes():
    limits.check(Limits(frame_bytes=65_536), named("notify", message_bytes=1_048_576))


def directive(file, name):
    """The number of a directive of nginx."""
    text = (NGINX / file).read_text("utf-8")
    return int(re.search(rf"^ *{name} (?:\S+ )*?(\d+)[smk]?;", text, re.MULTILINE)[1])


def highest(name):
    (found,) = (f for f in dataclasses.fields(Limits) if f.name == name)
    return found.metadata["high"]


@pytest.mark.parametrize("name", ["ping_seconds", "auth_seconds", "handshake_seconds"])
def test_nginx_waits_longer_than_a_gateway_may_be_silent(name):
    assert highest(name) + 5 <= directive("gateway.conf", "proxy_read_timeout")


def test_what_returning_clients_may_take_fits_the_containers_memory():
    usual = Limits().replay_bytes
    limits.check_memory(Limits(), None)
    limits.check_memory(Limits(), 2 * usual)
    with pytest.raises(
        ConfigurationError, match=r"^OPENLINE_REPLAY_BYTES=\d+ is more than half of"
    ):
        limits.check_memory(Limits(), 2 * usual - 1)


def test_it_fits_the_memory_of_the_manifests():
    text = (NGINX.parent / "k8s/base/gateway.yaml").read_text("utf-8")
    limits.check_memory(Limits(), int(re.search(r"limits: .*memory: (\d+)Mi", text)[1]) << 20)
