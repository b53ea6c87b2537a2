"""The examples of the pages on compose and on backups, run as they stand against the shipped compose file."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path

import pytest

from tests.support.compose import ComposeStack
from tests.support.documents import example
from tests.support.people import People
from tests.support.stack import ROOT
from tests.support.wire import WireClient

pytestmark = pytest.mark.docker

BACKUP, COMPOSE = "docs/deploy/backup.md", "docs/deploy/compose.md"


def follow(stack: ComposeStack, code: str, folder: Path) -> str:
    """What a page's lines print, run in a folder of their own; `up` starts what was started before."""
    code = code.replace("-f deploy/compose.yaml", f"-f {ROOT}/deploy/compose.yaml")
    code = code.replace("http://127.0.0.1:8080", stack.url)
    code = code.replace("up -d --wait", f"up -d --wait {' '.join(stack.services())}")
    environment = {k: v for k, v in stack.environment.items() if k != "COMPOSE_FILE"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def names(folder: Path) -> set[str]:
    """What is in a folder."""
    return {path.name for path in folder.iterdir()}


def test_the_first_message_of_the_page_is_published(stack: ComposeStack, tmp_path: Path) -> None:
    (lines,) = example(COMPOSE, "First message", 0)
    printed = follow(stack, lines.code.replace("backend", "page"), tmp_path)
    assert json.loads(printed).get("offset", 0) > 0, printed


async def test_a_backup_brings_everything_back(
    stack: ComposeStack, people: People, tmp_path: Path
) -> None:
    (backup,) = example(BACKUP, "Backup and restore", 0)
    (restore,) = example(BACKUP, "Restore", 0)
    channel = f"room:{secrets.token_hex(6)}"
    before = [await people.publish(channel, number) for number in range(3)]
    old_token = await people.minted("alice")
    follow(stack, backup.code, tmp_path)
    assert names(tmp_path) == {"openline.dump", "openline-keys.tar", "openline.rdb"}

    after = await people.publish(channel, "after the backup")
    stack.add_client("latecomer", "publish")
    reader = await WireClient.open(people.ws(), old_token)
    await reader.subscribe(channel)
    follow(stack, restore.code, tmp_path)

    # Clients are those of the backup, keys too: an old token is good, and the old client gets new ones.
    listed = stack.compose("exec", "-T", "auth", "python", "-m", "services.auth.admin", "list")
    assert "backend" in listed
    assert "latecomer" not in listed
    again = await WireClient.open(people.ws(), old_token)
    place = {"epoch": after["epoch"], "offset": after["offset"]}
    joined = await again.subscribe(channel, since=place)
    assert joined["recovered"] is False
    assert joined["epoch"] != before[0]["epoch"]
    history = await again.ok("history", channel=channel)
    assert [message["data"] for message in history["messages"]] in ([0, 1, 2], [])
    await again.close()
