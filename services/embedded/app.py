"""Puts all services together on the broker in memory and serves them."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.applications import Starlette

from services.auth import app as auth
from services.auth.credentials import digest
from services.auth.store import Client
from services.embedded import screen
from services.embedded.control import Control, Orders
from services.embedded.front_door import FrontDoor, Services
from services.embedded.settings import ServiceSettings, Settings
from services.gateway import app as gateway
from services.gateway.node.node import Node
from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.http.serve import Server, bind, serve
from services.kernel.ops import limits, logs, namespaces
from services.kernel.ops.refusal import refuse, refusing
from services.kernel.ops.settings import load
from services.kernel.tokens import trust
from services.kernel.tokens.keys import UntrustedKeyError
from services.kernel.tokens.revocations_memory import MemoryRevocations
from services.kernel.tokens.tickets_memory import MemoryTickets
from services.publisher import app as publisher

CLIENT = "demo"
SCOPE = "publish read manage tokens"
CONTROL = "--control"
_LOOK = 0.01


class Embedded:
    """The applications, their broker, and the client that a back end is. Nothing runs yet."""

    def __init__(self, settings: Settings, *, url: str, folder: Path) -> None:
        self.url = url
        self.secret = settings.hs256_secret.get_secret_value()
        self.client_secret = secrets.token_urlsafe(32)
        each = ServiceSettings(settings, url=url, folder=folder)
        self.limits = limits.of(each.gateway)
        known = namespaces.load(each.gateway.namespaces)
        limits.check(self.limits, known)
        trust.check(each.gateway)
        self.broker = MemoryBroker(partitions=each.gateway.partitions)
        tickets, revocations = MemoryTickets(), MemoryRevocations()
        self.gateway = gateway.create(
            each.gateway, self.broker, tickets=tickets, revocations=revocations, namespaces=known
        )
        self.auth = auth.assemble(
            each.auth,
            self.broker,
            tickets=tickets,
            revocations=revocations,
            ping=self.broker.health,
        )
        self.publisher = publisher.Parts(
            each.publisher, self.broker, revocations=revocations, namespaces=known
        )
        self._add_client(self.auth)
        services = Services(self.gateway, self.auth, self.publisher.fast_path)
        self.app = FrontDoor(services, lifespan=self._lifespan)

    @property
    def node(self) -> Node:
        """The gateway's node, while it runs."""
        node: Node = self.gateway.state.gateway.node
        return node

    def _add_client(self, app: FastAPI) -> None:
        client = Client(
            client_id=CLIENT, secret=digest(self.client_secret), scope=SCOPE, created=time.time()
        )
        app.state.parts.store.add_client(client)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for app in (self.publisher.app, self.auth, self.gateway):
                await stack.enter_async_context(app.router.lifespan_context(app))
            self.publisher.watch()
            yield

    def facts(self) -> dict[str, str]:
        """What a test needs to use the server."""
        return {
            "url": self.url,
            "client_id": CLIENT,
            "client_secret": self.client_secret,
            "hs256_secret": self.secret,
        }

    async def ready(self) -> None:
        """Returns once a message would be taken and delivered."""
        while not (self.gateway.state.gateway.ready().ok and self.publisher.probes.ready().ok):  # noqa: ASYNC110 - learnt by asking
            await asyncio.sleep(_LOOK)


def main() -> None:
    """Serve until told to end. What can never work ends the process with one line."""
    given = sys.argv[1:]
    if given not in ([], [CONTROL]):
        refuse("openline-server run --memory takes no other arguments, only OPENLINE_ variables")
    control = Control() if given else None
    settings = load(Settings)
    listener = bind(settings.host, settings.port, "")
    url = settings.public_url or _url(listener)
    logs.configure("embedded", level=os.environ.get("OPENLINE_LOG_LEVEL") or "warning")
    with tempfile.TemporaryDirectory(prefix="openline-") as folder:
        with refusing({UntrustedKeyError: "OPENLINE_HS256_SECRET"}):
            embedded = Embedded(settings, url=url, folder=Path(folder))
        _serve(embedded, control, listener)
    # A test waits for us: taking the interpreter apart would be most of what ending takes.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _serve(embedded: Embedded, control: Control | None, listener: socket.socket) -> None:
    following: set[asyncio.Task[None]] = set()

    async def started(server: Server) -> None:
        await embedded.ready()
        if control is None:
            said = {"client": CLIENT, "client_secret": embedded.client_secret}
            sys.stdout.write(screen.ready(embedded.url, **said, secret=embedded.secret) + "\n")
            sys.stdout.flush()
            return
        control.say(embedded.facts())
        orders = Orders(embedded.node, embedded.broker)
        task = asyncio.create_task(control.follow(orders))
        following.add(task)
        # Whoever started us is gone, or wants us to be.
        task.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))

    async def stopping(_: Server) -> None:
        await embedded.node.drain(0)

    host, port = listener.getsockname()[:2]
    serve(
        embedded.app,
        host=host,
        port=port,
        name="",
        listener=listener,
        limits=embedded.limits,
        on_started=started,
        on_stopping=stopping,
        timeout_graceful_shutdown=1,
        **gateway.protocols(embedded.gateway, embedded.limits),
    )
