"""Settings that every service shares, read once from `OPENLINE_...` variables into one frozen value."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from services.kernel.domain import origins
from services.kernel.domain.nearest import nearest
from services.kernel.ops import redaction, variables
from services.kernel.ops.refusal import refuse
from services.kernel.redis import servers, store_url
from services.kernel.redis.access import Access, check_access
from services.kernel.redis.servers import Server

PREFIX = "OPENLINE_"
FILE = "_FILE"
"""What follows a variable's name when its value is in a file, as secrets of containers are."""

S = TypeVar("S", bound="BaseSettings")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _url(*schemes: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not (parts.netloc or parts.path):
            raise ValueError(f"must begin with {' or '.join(f'{s}://' for s in schemes)}")
        _ = parts.port  # raises ValueError for a port that is none
        return value.rstrip("/")

    return check


_SERVER = _url("redis", "rediss", "unix", *store_url.SCHEMES)


def _redis_url(value: str) -> str:
    """Of one server, or of several Sentinels or nodes of a cluster, whose hosts are more than a URL may have."""
    if value.partition("://")[0] in store_url.SCHEMES:
        return store_url.check(value)
    return _SERVER(value)


def _origin(value: str) -> str:
    return origins.check(value)


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"{value!r} is not a network such as 10.0.0.0/8") from None


def _proxies(values: tuple[str, ...]) -> tuple[str, ...]:
    if values == ("*",):
        return values
    # uvicorn takes what it cannot read for a name that no address ever has, and says nothing.
    return tuple(str(_network(value)) for value in values)


HttpUrl = Annotated[str, AfterValidator(_url("http", "https"))]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]
HttpUrls = Annotated[tuple[HttpUrl, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]
OriginList = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)
]
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network)], ...], NoDecode, BeforeValidator(_split)
]
Proxies = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_proxies)]
Port = Annotated[int, Field(ge=0, le=65535)]


class _Files(PydanticBaseSettingsSource):
    """Settings from files that variables name: what is in an environment is shown by many tools, a file is not."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """The file's text without spaces and line ends around it, or None when no variable names one."""
        path = os.environ.get(f"{PREFIX}{field_name.upper()}{FILE}")
        return (_read(field_name, path) if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        """What files give."""
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value}


def _read(field: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is not text"
        refuse(f"{PREFIX}{field.upper()}{FILE}={path}: {problem}; name a file that can be read")


class FromEnvironment(BaseSettings):
    """Settings named `OPENLINE_...`. An empty variable counts as unset.

    `OPENLINE_X_FILE` names a file that holds what `OPENLINE_X` would; the variable itself comes first.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then variables, then files."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, _Files(settings_cls)


class Common(FromEnvironment):
    """What gateway, auth and publisher have in common."""

    redis_url: RedisUrl = Field(
        "redis://127.0.0.1:6390/0",
        description="Redis or Valkey, 7.0 or newer, as redis://[user:password@]host:port/db, or as Sentinels know it: "
        "redis+sentinel://[user:password@]host1:26379,host2,host3/NAME/db?sentinel_user=&sentinel_password=; "
        "or as a cluster: redis+cluster://[user:password@]host1:6379,host2,host3; "
        "by TLS rediss://, rediss+sentinel:// and rediss+cluster://",
    )
    redis_servers: SecretStr | None = Field(
        None,
        description="several servers in place of OPENLINE_REDIS_URL, best as a file, OPENLINE_REDIS_SERVERS_FILE: "
        '[[servers]] tables in TOML, each with url and partitions = "0-3"; every partition once, the same for every service',
    )
    redis_ca_file: Path | None = Field(
        None,
        description="the authority whose certificates of Redis are believed, for rediss://; this and the next three are "
        "read anew for each connection",
    )
    redis_cert_file: Path | None = Field(
        None, description="our own certificate, where Redis asks for one"
    )
    redis_key_file: Path | None = Field(
        None, description="its key, where that is in a file of its own"
    )
    redis_password_file: Path | None = Field(
        None, description="the password of Redis, for URLs that hold none"
    )
    redis_password_command: str = Field(
        "",
        description="a program with its arguments that prints the password in place of a file, for passwords that live "
        "for minutes; run without a shell",
    )
    redis_password_seconds: int = Field(
        900,
        ge=30,
        le=86_400,
        description="seconds, 30 to 86400, for which a printed password is good; the next one is fetched after three "
        "quarters of them and given on open connections",
    )
    partitions: int = Field(
        1,
        ge=1,
        le=64,
        description="the number of partitions, 1 to 64, the same for every service",
    )
    bus_length: int = Field(
        200_000,
        ge=1_000,
        description="entries that the bus keeps at most, at least 1000, the same for every service: ten seconds of the "
        "highest rate",
    )
    bus_seconds: int = Field(
        30,
        ge=10,
        le=300,
        description="seconds, 10 to 300, that the bus keeps entries while gateways read it: how long one may be stopped "
        "and still go on where it was; the same for every service",
    )
    bus_bytes: int = Field(
        67_108_864,
        ge=1_048_576,
        le=1_099_511_627_776,
        description="bytes of messages that the bus keeps, from 1048576 on, the same for every service; "
        "a sixteenth more may be held",
    )
    memory_percent: int = Field(
        85,
        ge=10,
        le=99,
        description="percent of Redis' maxmemory, 10 to 99, above which messages are refused, the same for every "
        "service; what is left is for logins, tickets, revocations and leases",
    )
    namespaces: Path = Field(
        Path("deploy/namespaces.toml"), description="path of the file that defines the namespaces"
    )
    public_url: HttpUrl = Field(
        "http://127.0.0.1:8080",
        description="the front door as clients see it; also the issuer of auth's tokens",
    )
    jwks_urls: HttpUrls = Field(
        ("http://127.0.0.1:8200/auth/jwks.json",),
        description="comma-separated addresses of key sets: one for each of OPENLINE_ISSUERS, in the same order",
    )
    issuers: Names = Field(
        default_factory=lambda data: (data["public_url"],),
        description="comma-separated values of `iss` that are accepted; default: the public URL",
    )
    scope_issuers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        (),
        description="comma-separated issuers whose `scope` and subjects `client:...` count; default: the public URL if "
        "it is among OPENLINE_ISSUERS, else the first of them",
    )
    audience: Word = Field("openline", description="the `aud` that tokens must name")
    subject_claim: Word = Field(
        "sub",
        description="the claim that holds the user, in tokens of other issuers than our own auth",
    )
    max_token_ttl: int = Field(
        2_678_400,
        ge=86_400,
        le=315_360_000,
        description="seconds by which the `exp` of an accepted token may be ahead, 86400 to 315360000; "
        "a revocation of a user's tokens is kept as long",
    )
    hs256_secret: SecretStr | None = Field(
        None,
        description="at least 32 bytes, shared by auth (or the first issuer) and the services that verify; only where tokens are HS256",
    )
    allowed_origins: OriginList = Field(
        (),
        description="comma-separated origins of browsers beside our own, e.g. https://app.example.org,http://localhost:*",
    )
    admin_networks: Networks = Field(
        tuple(
            ipaddress.ip_network(n)
            for n in (
                "127.0.0.0/8",
                "::1/128",
                "10.0.0.0/8",
                "172.16.0.0/12",
                "192.168.0.0/16",
                "fc00::/7",
            )
        ),
        description="comma-separated networks that may make administrative calls, e.g. 10.0.0.0/8,::1/128",
    )
    trusted_proxies: Proxies = Field(
        ("127.0.0.1", "::1"),
        description="comma-separated addresses or networks whose X-Forwarded-For is believed, or * alone for all",
    )
    limits: bool = Field(
        True,
        description="on or off, for every service and nginx alike; off lifts rates and connection counts (for benches), "
        "never sizes",
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="json (one object a line) or console (for people)"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )
    trusted_restart: bool = Field(
        False,
        description="on or off; on only for one Redis without replicas on AOF with appendfsync always: "
        "a restart then keeps positions valid",
    )

    @property
    def redis(self) -> tuple[Server, ...]:
        """The servers of Redis and the partitions that live on each."""
        if self.redis_servers is None:
            return servers.single(self.redis_url, self.partitions)
        return self.redis_map(self.redis_servers.get_secret_value())

    def redis_anew(self) -> tuple[Server, ...]:
        """The same as the file says it now, where one does. Raises ValueError or OSError, which show no URL."""
        path = os.environ.get("OPENLINE_REDIS_SERVERS_FILE")
        if self.redis_servers is None or not path or os.environ.get("OPENLINE_REDIS_SERVERS"):
            return self.redis
        return self.redis_map(Path(path).read_text("utf-8"))

    def redis_map(self, text: str) -> tuple[Server, ...]:
        """The servers in the text of such a file. Raises ValueError, which shows no URL."""
        return servers.read(text, self.partitions, check=_redis_url)

    @property
    def redis_access(self) -> Access:
        """What opens connections to them beside their URLs."""
        return Access(
            ca_file=self.redis_ca_file,
            cert_file=self.redis_cert_file,
            key_file=self.redis_key_file,
            password_file=self.redis_password_file,
            password_command=self.redis_password_command,
            password_seconds=self.redis_password_seconds,
        )

    @model_validator(mode="after")
    def _check_redis(self) -> Self:
        if self.redis_servers is not None and "redis_url" in self.model_fields_set:
            raise ValueError(
                "OPENLINE_REDIS_URL and OPENLINE_REDIS_SERVERS_FILE are both set: unset the one that does not count"
            )
        try:
            urls = [server.url for server in self.redis]
        except ValueError as error:
            raise ValueError(f"OPENLINE_REDIS_SERVERS_FILE {error}") from None
        check_access(self.redis_access, urls)
        return self


def load(cls: type[S], given: Mapping[str, str] | None = None) -> S:
    """The settings from the environment. A wrong one ends the process with one line: variable, problem, fix.

    So does a variable that no part of Openline reads: it is misspelt, and what it was to say would be missed.
    `given` come before those of this process: they are what another process will be given.
    """
    given = given or {}
    _check_names(cls, {**os.environ, **given})
    values: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in given.items()
        if name.startswith(PREFIX)
    }
    try:
        return cls(**values)
    except ValidationError as error:
        refuse(_line(cls, error))


def _check_names(cls: type[BaseSettings], given: Mapping[str, str]) -> None:
    settings = {*variables.SETTINGS, *map(_variable, cls.model_fields)}
    known = {*settings, *(name + FILE for name in settings), *variables.OTHERS}
    for name in sorted(given):
        # Case does not matter, as it does not where they are read.
        if given[name] and name.upper().startswith(PREFIX) and name.upper() not in known:
            refuse(
                f"{name}: there is no such variable; the nearest is {nearest(name, known)}, "
                "and docs/reference/settings.md lists them all"
            )


def _line(cls: type[BaseSettings], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    problem = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return problem  # a rule over several settings names them itself
    field = str(first["loc"][0])
    variable = _variable(field)
    problem = problem[:1].lower() + problem[1:]
    info = cls.model_fields.get(field)
    fix = f"; expected: {info.description}" if info and info.description else ""
    if first["type"] == "missing":
        return f"{variable} is not set{fix}"
    shown = redaction.MASK if info and _is_secret(info) else _shown(variable, first["input"])
    return f"{variable}={shown}: {problem}{fix}"


def _variable(field: str) -> str:
    return field.upper() if field.upper().startswith(PREFIX) else PREFIX + field.upper()


def _is_secret(info: FieldInfo) -> bool:
    return SecretStr in (info.annotation, *get_args(info.annotation))


def _shown(variable: str, given: Any) -> str:
    return repr(redaction.text(os.environ.get(variable, str(given)))[:120])
