"""`python -m services.handover` as an operator runs it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tests.support.stack import ROOT


@asynccontextmanager
async def started(
    *arguments: str, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, with what it says in one stream; at most a minute, and it is killed with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.handover", *arguments),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(120):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def handover(*arguments: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run it to its end: exit status, and what it said."""
    async with started(*arguments, environment=environment) as process:
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode()
