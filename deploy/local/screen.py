"""What the person at the terminal sees when everything is up: one screen, every line of it works as printed."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from deploy.local.accounts import Demo
from deploy.local.plan import Plan

# Works whatever the order and spacing of the answer's members.
_PICK = r"""sed 's/.*"access_token" *: *"\([^"]*\)".*/\1/'"""


def ready(plan: Plan, demo: Demo) -> str:
    """The screen."""
    user = demo.users[0]
    return "\n".join(
        [
            "",
            f"  Openline is up:  {plan.public_url}/",
            "",
            f"  demo login       {user['username']} / {user['password']}",
            *(
                f"                   {other['username']} / {other['password']}"
                for other in demo.users[1:]
            ),
            "",
            "  three lines to try, each in a terminal of its own, in this folder:",
            "",
            *(f"{line}\n" for line in tries(plan, demo)),
            f"  logs {_short(plan.var / 'logs')}/   ports, secrets and process ids {_short(plan.var / 'run.json')}",
            "  Ctrl-C stops everything.",
            "",
        ]
    )


def tries(plan: Plan, demo: Demo) -> list[str]:
    """Listen to a room (SSE), publish to it (HTTP), chat in it (WebSocket)."""
    user, client = demo.users[0], demo.clients[0]
    door = plan.front_door
    alice = (
        f"$(curl -s -d grant_type=password -d username={user['username']} -d password={user['password']} "
        f"{door}/auth/token | {_PICK})"
    )
    backend = (
        f"$(curl -s -u {client['client_id']}:{client['client_secret']} -d grant_type=client_credentials "
        f"{door}/auth/token | {_PICK})"
    )
    socket = door.replace("http", "ws", 1)
    listen = f'curl -N -H "Authorization: Bearer {alice}" "{door}/sse?channel=room:lobby"'
    publish = (
        f'curl -s -H "Authorization: Bearer {backend}" -H "Content-Type: application/json" '
        f'-d \'{{"data": {{"text": "hello"}}}}\' {door}/v1/channels/room:lobby/messages'
    )
    chat = f'{_websockets()} "{socket}/ws/rooms/lobby?token={alice}"'
    return [listen, publish, chat]


def _websockets() -> str:
    """The command line client of the package `websockets`, as it is called from here."""
    return shlex.quote(_short(Path(sys.executable).parent / "websockets"))


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
