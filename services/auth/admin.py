"""Users and clients from the command line: `python -m services.auth.admin --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from services.auth import credentials
from services.auth.credentials import Passwords
from services.auth.grants import SCOPES
from services.auth.revoker import Revoker, announce_on
from services.auth.settings import Settings
from services.auth.store import Client, Store, User
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain import capabilities
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.ops.settings import load
from services.kernel.tokens.revocations import Kind
from services.kernel.tokens.revocations_redis import RedisRevocations

_MAX_RATE = 1_000_000


class _Call(NamedTuple):
    """What a command works with."""

    arguments: argparse.Namespace
    settings: Settings
    store: Store


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 done, 1 refused (one line on standard error), 2 wrong usage or settings."""
    arguments = _parser().parse_args(argv)
    settings = load(Settings)
    try:
        store = Store(settings.database_url)
        try:
            command: Callable[[_Call], None] = arguments.command
            command(_Call(arguments, settings, store))
        finally:
            store.close()
    except (OpenlineError, ConfigurationError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.auth.admin",
        description="Users and clients of the auth service. The same OPENLINE_... variables as the service count; "
        "each result is one JSON object a line on standard output.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    client = commands.add_parser("add-client", help="add an API client; prints its secret once")
    client.add_argument("id", help="1-64 characters of a-z 0-9 . _ -")
    _common(client, "a secret", "generated otherwise; 32-128 random ASCII characters")
    client.add_argument(
        "--rate",
        metavar="N",
        type=_rate,
        help="HTTP calls a second that each publisher takes from it, each message of a batch counting as one; "
        "no limit if left out",
    )
    client.set_defaults(command=_add_client)
    user = commands.add_parser("add-user", help="add a user with a password")
    user.add_argument("id", metavar="username", help="3-64 characters of a-z 0-9 . _ -")
    _common(user, "a password", "generated and printed once otherwise; 8-128 characters")
    user.set_defaults(command=_add_user)
    listing = commands.add_parser("list", help="list users and clients, without secrets")
    listing.set_defaults(command=_list)
    off = commands.add_parser(
        "disable", help="no token from now on, and revoke all that were given (needs Redis)"
    )
    off.add_argument("kind", choices=["client", "user"])
    off.add_argument("id")
    off.set_defaults(command=_disable)
    return parser


def _common(parser: argparse.ArgumentParser, what: str, rule: str) -> None:
    parser.add_argument(
        "--scope",
        default="",
        help=f'what it may ask for, e.g. "{" ".join(SCOPES)}"; none if left out',
    )
    parser.add_argument(
        "--channels", metavar="JSON", help='limits it to channels, e.g. {"room:*": ["subscribe"]}'
    )
    parser.add_argument(
        "--secret-file",
        dest="source",
        metavar="FILE",
        help=f"{what} to use, from a file or - for standard input: {rule}",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--if-missing", action="store_true", help="leave one that exists as it is, without an error"
    )
    existing.add_argument(
        "--replace",
        action="store_true",
        help="put it in the place of one that exists; of a user all tokens given so far end (needs Redis)",
    )


def _add_client(call: _Call) -> None:
    wanted = call.arguments
    name = credentials.check_client_id(wanted.id)
    secret = credentials.check_secret(_given(wanted) or credentials.new_secret())
    record = Client(
        client_id=name,
        secret=credentials.digest(secret),
        scope=_scope(wanted.scope),
        channels=_channels(wanted.channels),
        rate=wanted.rate,
        created=time.time(),
    )
    if wanted.replace:
        call.store.replace_client(record)
    elif not call.store.add_client(record):
        _exists(wanted, "client_id", name)
        return
    _print(client_id=name, client_secret=secret, scope=record.scope, created=True)


def _add_user(call: _Call) -> None:
    wanted = call.arguments
    name = credentials.check_username(wanted.id)
    password = credentials.check_password(_given(wanted) or credentials.new_secret()[:16], name)
    record = User(
        username=name,
        password=Passwords().hash_now(password),
        scope=_scope(wanted.scope),
        channels=_channels(wanted.channels),
        created=time.time(),
    )
    if wanted.replace:
        if call.store.replace_user(record, time.time()):
            asyncio.run(_revoke(call.settings, Kind.SUBJECT, name))
    elif not call.store.add_user(record):
        _exists(wanted, "username", name)
        return
    _print(username=name, password=password, scope=record.scope, created=True)


def _exists(wanted: argparse.Namespace, field: str, name: str) -> None:
    if not wanted.if_missing:
        raise OpenlineError(
            Code.CONFLICT, f"{name} exists already; --if-missing leaves it, --replace replaces it"
        )
    _print(**{field: name}, created=False)


def _list(call: _Call) -> None:
    for user in call.store.users():
        _print(username=user.username, **_shown(user))
    for client in call.store.clients():
        _print(client_id=client.client_id, **_shown(client), rate=client.rate)


def _shown(record: User | Client) -> dict[str, Any]:
    return {
        "scope": record.scope,
        "channels": record.channels,
        "disabled": record.disabled is not None,
    }


def _disable(call: _Call) -> None:
    kind, name = call.arguments.kind, call.arguments.id
    disable = call.store.disable_user if kind == "user" else call.store.disable_client
    if not disable(name, time.time()):
        raise OpenlineError(Code.BAD_REQUEST, f"there is no {kind} {name}")
    asyncio.run(_revoke(call.settings, Kind.SUBJECT if kind == "user" else Kind.CLIENT, name))
    _print(**{kind: name}, disabled=True)


async def _revoke(settings: Settings, kind: Kind, name: str) -> None:
    broker = RedisBroker.of(settings)
    revoker = Revoker(RedisRevocations(broker.client), announce=announce_on(broker))
    try:
        await revoker.revoke_all(kind, name, longest=settings.max_token_ttl)
    except OpenlineError as error:
        raise OpenlineError(
            error.code,
            f"{name} is changed, but the tokens it has stay good: {error.message}; run this again",
        ) from error
    finally:
        await broker.close()


def _given(wanted: argparse.Namespace) -> str | None:
    if wanted.source is None:
        return None
    try:
        text = sys.stdin.read() if wanted.source == "-" else Path(wanted.source).read_text()
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is not text"
        raise OpenlineError(
            Code.BAD_REQUEST,
            f"--secret-file {wanted.source}: {problem}; name a file that can be read, or -",
        ) from None
    return text.rstrip("\r\n")


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0
    if not 0 < rate <= _MAX_RATE:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of calls a second, such as 50")
    return rate


def _scope(text: str) -> str:
    unknown = set(text.split()) - set(SCOPES)
    if unknown:
        raise OpenlineError(
            Code.BAD_REQUEST,
            f"no such scope: {' '.join(sorted(unknown))}; known: {' '.join(SCOPES)}",
        )
    return " ".join(sorted(set(text.split())))


def _channels(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        claim = json.loads(text)
    except ValueError as error:
        raise OpenlineError(
            Code.BAD_REQUEST,
            f'--channels is not JSON such as {{"room:*": ["subscribe"]}}: {error}',
        ) from None
    capabilities.parse(claim)
    return dict(claim)


def _print(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")


if __name__ == "__main__":
    sys.exit(main())
