"""The demo's users and its client: made once, their secrets kept in the data folder."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Sequence

from deploy.local import private
from deploy.local.plan import Plan, environment
from deploy.local.processes import StartError

USERS = ("alice", "bob")
CLIENT = "demo"
SCOPE = "publish read manage tokens"
Accounts = dict[str, list[dict[str, str]]]


class Demo:
    """The accounts, with new random secrets on the first run. `new` says that nobody has seen them yet."""

    def __init__(self, plan: Plan) -> None:
        path = plan.var / "accounts.json"
        self.new = not path.exists()
        if self.new:
            private.write_json(path, _made())
        found: Accounts = json.loads(path.read_text("utf-8"))
        self.users = found["users"]
        self.clients = found["clients"]

    async def provision(self, plan: Plan) -> None:
        """Make the accounts in auth's database. Raises StartError when auth refuses."""
        # An account from a data folder that is gone has another secret than the one we are about to print.
        rest = ("--secret-file", "-", "--replace" if self.new else "--if-missing")
        commands = [
            (["add-user", user["username"], *rest], user["password"]) for user in self.users
        ]
        for client in self.clients:
            arguments = ["add-client", client["client_id"], "--scope", client["scope"], *rest]
            commands.append((arguments, client["client_secret"]))
        await _administer(plan, commands)


def _made() -> Accounts:
    return {
        "users": [{"username": name, "password": secrets.token_hex(8)} for name in USERS],
        "clients": [{"client_id": CLIENT, "client_secret": secrets.token_hex(16), "scope": SCOPE}],
    }


async def _administer(plan: Plan, commands: Sequence[tuple[Sequence[str], str]]) -> None:
    """Run auth's administration commands, each with its secret."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "deploy.local.provisioning"),
        env=environment(plan),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate(json.dumps(commands).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = output.decode("utf-8", "replace").strip().splitlines() or ["it wrote nothing"]
        raise StartError(f"auth's demo accounts: {lines[-1]}")
