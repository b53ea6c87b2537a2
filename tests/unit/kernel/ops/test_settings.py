"""Settings from the environment, and the one line that says which of them is wrong."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import pytest
from pydantic import Field, SecretStr, model_validator

from services.kernel.ops.settings import Common, Port, load


class Settings(Common):
    gateway_port: Port = Field(8101, description="port that the gateway listens on")


class Demanding(Common):
    needed: str = Field(description="a word")
    api_key: SecretStr | None = Field(None, max_length=5, description="five letters")

    @model_validator(mode="after")
    def _rule(self):
        if self.needed == "wrong":
            raise ValueError("OPENLINE_NEEDED must not be wrong")
        return self


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in os.environ:
        if name.startswith("OPENLINE_"):
            monkeypatch.delenv(name)


def refused(capsys, cls=Settings):
    """The line with which loading ends the process."""
    with pytest.raises(SystemExit) as ended:
        load(cls)
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


def test_defaults_are_those_of_a_run_on_this_machine():
    settings = load(Settings)
    assert settings.redis_url == "redis://127.0.0.1:6390/0"
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.issuers == ("http://127.0.0.1:8080",)
    assert settings.namespaces == Path("deploy/namespaces.toml")
    assert settings.limits is True
    assert ipaddress.ip_network("127.0.0.0/8") in settings.admin_networks


def test_issuers_follow_the_public_url_unless_given(monkeypatch):
    monkeypatch.setenv("OPENLINE_PUBLIC_URL", "https://rt.example.org/")
    assert load(Settings).issuers == ("https://rt.example.org",)
    monkeypatch.setenv("OPENLINE_ISSUERS", "https://login.example.org/, other")
    assert load(Settings).issuers == ("https://login.example.org/", "other")


def test_lists_are_separated_by_commas_and_blanks_do_not_matter(monkeypatch):
    monkeypatch.setenv("OPENLINE_ALLOWED_ORIGINS", " http://localhost:* ,https://App.Example.org,")
    monkeypatch.setenv("OPENLINE_ADMIN_NETWORKS", "10.1.2.3/8, ::1")
    settings = load(Settings)
    assert settings.allowed_origins == ("http://localhost:*", "https://app.example.org")
    assert [str(n) for n in settings.admin_networks] == ["10.0.0.0/8", "::1/128"]


def test_a_proxys_network_may_be_named_by_any_address_in_it(monkeypatch):
    monkeypatch.setenv("OPENLINE_TRUSTED_PROXIES", "10.1.2.3/8, 192.168.0.7")
    assert load(Settings).trusted_proxies == ("10.0.0.0/8", "192.168.0.7/32")
    monkeypatch.setenv("OPENLINE_TRUSTED_PROXIES", "*")
    assert load(Settings).trusted_proxies == ("*",)


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("OPENLINE_REDIS_URL", "")
    monkeypatch.setenv("OPENLINE_SOMETHING_ELSE", "")
    assert load(Settings).redis_url == "redis://127.0.0.1:6390/0"


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("OPENLINE_REDIS_ULR", "OPENLINE_REDIS_URL"),
        ("openline_redis_ulr", "OPENLINE_REDIS_URL"),
        ("OPENLINE_REDISURL_FILE", "OPENLINE_REDIS_URL_FILE"),
        ("OPENLINE_PING_SECOND", "OPENLINE_PING_SECONDS"),
        ("OPENLINE_SCHEDULE", "OPENLINE_SCHEDULES"),
    ],
)
def test_a_variable_that_nothing_reads_is_refused_naming_the_nearest(
    monkeypatch, capsys, misspelt, meant
):
    monkeypatch.setenv(misspelt, "1")
    assert refused(capsys).startswith(
        f"{misspelt}: there is no such variable; the nearest is {meant}, "
    )


def test_only_settings_may_be_in_files(monkeypatch, capsys):
    monkeypatch.setenv("OPENLINE_BIND_FILE", "/run/bind")
    assert refused(capsys).startswith("OPENLINE_BIND_FILE: there is no such variable; ")


def test_what_another_process_will_be_given_must_be_known_as_well(capsys):
    with pytest.raises(SystemExit):
        load(Settings, {"OPENLINE_GATEWAYPORT": "1", "PATH": "/bin"})
    assert "the nearest is OPENLINE_GATEWAY_PORT, " in capsys.readouterr().err


def test_variables_of_other_services_of_compose_and_of_tests_are_no_fault(monkeypatch):
    for name in ("AUTH_HASHERS", "PUBLISHER_PORT_FILE", "GRAFANA_PORT", "TEST_REDIS", "TIED"):
        monkeypatch.setenv(f"OPENLINE_{name}", "1")
    load(Settings)


def test_what_another_process_will_be_given_comes_before_what_this_one_was(monkeypatch, capsys):
    monkeypatch.setenv("OPENLINE_PARTITIONS", "3")
    monkeypatch.setenv("OPENLINE_AUDIENCE", "this")
    given = {"OPENLINE_PARTITIONS": "4", "OPENLINE_ISSUERS": "a, b", "PATH": "/bin"}
    settings = load(Settings, given)
    assert (settings.partitions, settings.issuers, settings.audience) == (4, ("a", "b"), "this")
    with pytest.raises(SystemExit):
        load(Settings, {"OPENLINE_LIMITS": "perhaps"})
    assert capsys.readouterr().err.startswith("OPENLINE_LIMITS='perhaps': ")


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load(Settings).audience = "other"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPENLINE_PARTITIONS", "many"),
        ("OPENLINE_PARTITIONS", "0"),
        ("OPENLINE_PUBLIC_URL", "ftp://x"),
        ("OPENLINE_PUBLIC_URL", "http://x:99999999"),
        ("OPENLINE_REDIS_URL", "http://x"),
        ("OPENLINE_JWKS_URLS", "http://ok,nonsense"),
        ("OPENLINE_JWKS_URLS", ","),
        ("OPENLINE_ALLOWED_ORIGINS", "*"),
        ("OPENLINE_ISSUERS", ","),
        ("OPENLINE_AUDIENCE", " "),
        ("OPENLINE_ADMIN_NETWORKS", "10.0.0"),
        ("OPENLINE_TRUSTED_PROXIES", "10.0.0.1,proxy"),
        ("OPENLINE_TRUSTED_PROXIES", "*,10.0.0.1"),
        ("OPENLINE_LIMITS", "perhaps"),
        ("OPENLINE_LOG_FORMAT", "xml"),
        ("OPENLINE_LOG_LEVEL", "loud"),
        ("OPENLINE_GATEWAY_PORT", "99999"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_one_line_naming_variable_problem_and_fix(
    monkeypatch, capsys, variable, value
):
    monkeypatch.setenv(variable, value)
    line = refused(capsys)
    assert line.startswith(f"{variable}={value!r}: ")
    assert "; expected: " in line


def test_a_missing_setting_is_named_with_what_it_should_be(capsys):
    assert refused(capsys, Demanding) == "OPENLINE_NEEDED is not set; expected: a word\n"


def test_a_rule_over_several_settings_speaks_for_itself(monkeypatch, capsys):
    monkeypatch.setenv("OPENLINE_NEEDED", "wrong")
    assert refused(capsys, Demanding) == "OPENLINE_NEEDED must not be wrong\n"


def test_a_wrong_secret_is_not_printed(monkeypatch, capsys):
    monkeypatch.setenv("OPENLINE_NEEDED", "x")
    monkeypatch.setenv("OPENLINE_API_KEY", "sesame")
    assert "sesame" not in refused(capsys, Demanding)
    monkeypatch.setenv("OPENLINE_REDIS_URL", "http://user:sesame@host")
    assert "sesame" not in refused(capsys)


def test_a_value_may_be_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "url").write_text("redis://:secret@redis:6379/0\n")
    (tmp_path / "origins").write_text("https://a.example, https://b.example\n")
    monkeypatch.setenv("OPENLINE_REDIS_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("OPENLINE_ALLOWED_ORIGINS_FILE", str(tmp_path / "origins"))
    settings = load(Settings)
    assert settings.redis_url == "redis://:secret@redis:6379/0"
    assert settings.allowed_origins == ("https://a.example", "https://b.example")


def test_a_variable_comes_before_its_file_and_an_empty_file_counts_as_unset(monkeypatch, tmp_path):
    (tmp_path / "url").write_text("redis://from-a-file:6379/0")
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("OPENLINE_REDIS_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("OPENLINE_REDIS_URL", "redis://from-a-variable:6379/0")
    monkeypatch.setenv("OPENLINE_AUDIENCE_FILE", str(tmp_path / "empty"))
    settings = load(Settings)
    assert settings.redis_url == "redis://from-a-variable:6379/0"
    assert settings.audience == "openline"


def test_a_file_that_cannot_be_read_ends_the_start_with_one_line(monkeypatch, capsys):
    monkeypatch.setenv("OPENLINE_REDIS_URL_FILE", "/nowhere/url")
    line = refused(capsys)
    assert "OPENLINE_REDIS_URL_FILE=/nowhere/url: No such file or directory" in line


def test_a_wrong_value_in_a_file_is_refused_without_its_secret(monkeypatch, capsys, tmp_path):
    (tmp_path / "url").write_text("http://:hunter22@redis:6379/0")
    monkeypatch.setenv("OPENLINE_REDIS_URL_FILE", str(tmp_path / "url"))
    line = refused(capsys)
    assert "OPENLINE_REDIS_URL=" in line
    assert "hunter22" not in line


TWO = '[[servers]]\nurl = "redis://:s3cret@a/0"\npartitions = "0"\n[[servers]]\nurl = "redis://b"\npartitions = "1"\n'


def test_one_url_has_all_partitions(monkeypatch):
    monkeypatch.setenv("OPENLINE_PARTITIONS", "2")
    assert load(Settings).redis == (("redis://127.0.0.1:6390/0", (0, 1)),)


def test_a_file_says_which_server_has_which_partitions(monkeypatch, capsys, tmp_path):
    path = tmp_path / "servers.toml"
    path.write_text(TWO)
    monkeypatch.setenv("OPENLINE_REDIS_SERVERS_FILE", str(path))
    monkeypatch.setenv("OPENLINE_PARTITIONS", "2")
    assert load(Settings).redis == (("redis://:s3cret@a/0", (0,)), ("redis://b", (1,)))
    monkeypatch.setenv("OPENLINE_PARTITIONS", "3")
    line = refused(capsys)
    assert "OPENLINE_REDIS_SERVERS_FILE gives partition 2 to no server" in line
    monkeypatch.setenv("OPENLINE_PARTITIONS", "2")
    path.write_text(TWO.replace("redis://b", "http://b"))
    assert "server 2: must begin with redis://" in refused(capsys)
    assert "s3cret" not in line


def test_the_file_of_servers_is_read_anew_when_it_is_asked_for(monkeypatch, tmp_path):
    path = tmp_path / "servers.toml"
    path.write_text(TWO)
    monkeypatch.setenv("OPENLINE_REDIS_SERVERS_FILE", str(path))
    monkeypatch.setenv("OPENLINE_PARTITIONS", "2")
    settings = load(Settings)
    path.write_text(TWO.replace("redis://b", "redis://c"))
    assert settings.redis[1] == ("redis://b", (1,))
    assert settings.redis_anew()[1] == ("redis://c", (1,))
    monkeypatch.setenv("OPENLINE_REDIS_SERVERS", TWO)
    assert settings.redis_anew() == settings.redis, "a variable comes first, and stays as it is"
    monkeypatch.delenv("OPENLINE_REDIS_SERVERS")
    path.write_text("[[servers]")
    with pytest.raises(ValueError, match="is no TOML"):
        settings.redis_anew()
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        settings.redis_anew()


def test_a_url_is_the_same_when_it_is_asked_for_again(monkeypatch):
    monkeypatch.setenv("OPENLINE_REDIS_URL", "redis://a")
    settings = load(Settings)
    assert settings.redis_anew() == settings.redis


def test_a_url_and_a_file_of_servers_contradict_each_other(monkeypatch, capsys):
    monkeypatch.setenv("OPENLINE_REDIS_SERVERS", TWO)
    monkeypatch.setenv("OPENLINE_REDIS_URL", "redis://:s3cret@c")
    line = refused(capsys)
    assert "OPENLINE_REDIS_URL and OPENLINE_REDIS_SERVERS_FILE are both set: unset" in line
    assert "s3cret" not in line


def test_what_opens_connections_to_redis_is_checked_together(monkeypatch, capsys):
    monkeypatch.setenv("OPENLINE_REDIS_CA_FILE", "/ca.pem")
    assert "write rediss://" in refused(capsys)
    monkeypatch.setenv("OPENLINE_REDIS_URL", "rediss://line@h/0")
    monkeypatch.setenv("OPENLINE_REDIS_PASSWORD_COMMAND", "token --region 'eu 1'")
    access = load(Settings).redis_access
    assert (str(access.ca_file), access.password_seconds) == ("/ca.pem", 900)
