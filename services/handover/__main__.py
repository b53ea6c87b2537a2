"""Planned work on Redis from the command line: `python -m services.handover --help`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from redis.exceptions import RedisError

from services.handover import failover, restart
from services.handover.handover import Handover
from services.handover.maps import Maps
from services.handover.masters import Master, RefusedError, choose, masters
from services.handover.move import Move
from services.handover.prompt import ask_to_install
from services.kernel.broker.redis import seals
from services.kernel.broker.redis.partitions import Options, Partitions
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.ops.settings import Common, load
from services.kernel.redis.servers import spelled

SECONDS = 5.0
"""For which writers are refused at most unless told otherwise; leases of gateways last a second longer."""

_Command = Callable[[Partitions, Common, argparse.Namespace], Awaitable[None]]

_EXAMPLES = """\
examples:
  python -m services.handover restart -- systemctl restart redis-server
                                a server without replicas restarts with its file
  python -m services.handover restart --shutdown
                                the same where whoever keeps it running starts it again by itself
  python -m services.handover failover
                                Sentinels, or a node of a cluster, promote a replica that has everything
  python -m services.handover failover --partition 3
                                of several servers the one that holds partition 3
  python -m services.handover move --to servers.new.toml --install
                                the partition that the new map gives to another server moves there
"""


_MOVE = """\
Copies a partition to another server while services run, refuses its writers for a moment, and goes on there; readers are not
reset. Where it ends before the switch nothing has changed; run it again after a failure, it goes on where things are.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 done, 1 refused (one line on standard error), 2 wrong usage or settings."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is _restart and arguments.shutdown == bool(arguments.how):
        parser.error("restart: give either --shutdown or, behind --, what restarts the server")
    settings = load(Common)
    logging.basicConfig(
        level=logging.ERROR
    )  # what a service would warn of is not what was asked for
    try:
        asyncio.run(_run(settings, arguments))
    except (OpenlineError, ConfigurationError, RefusedError, RedisError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("interrupted\n")
        return 1
    return 0


async def _run(settings: Common, arguments: argparse.Namespace) -> None:
    command: _Command = arguments.command
    running = asyncio.current_task()
    assert running is not None
    # As Ctrl-C does, so that whatever ends the tool (systemd, kubectl) leaves no seal behind.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    async with _connected(settings) as redis:
        await command(redis, settings, arguments)


@asynccontextmanager
async def _connected(settings: Common) -> AsyncIterator[Partitions]:
    options = Options(trusted_restart=settings.trusted_restart)
    redis = Partitions(settings.redis, options=options, access=settings.redis_access)
    try:
        yield redis
    finally:
        await redis.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.handover",
        description="Planned work on Redis after which no reader is reset. Writers are refused for its time (503 with "
        "Retry-After), and readers go on. The same OPENLINE_... variables as of the services count.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    restarting = commands.add_parser(
        "restart", help="a server without replicas restarts with its file"
    )
    _common(restarting)
    restarting.add_argument(
        "--shutdown",
        action="store_true",
        help="end the server by SHUTDOWN; whoever keeps it running must start it again",
    )
    restarting.add_argument(
        "how", nargs="*", metavar="COMMAND", help="what restarts it, run without a shell; behind --"
    )
    restarting.set_defaults(command=_restart)
    promoting = commands.add_parser(
        "failover",
        help="a replica that has everything becomes master, by Sentinels or in a cluster",
    )
    _common(promoting)
    promoting.set_defaults(command=_failover)
    moving = commands.add_parser(
        "move",
        help="a partition moves to another server of OPENLINE_REDIS_SERVERS_FILE",
        description=_MOVE,
    )
    moving.add_argument(
        "--to",
        required=True,
        type=Path,
        metavar="FILE",
        help="the servers file as it will be: one partition stands at another server",
    )
    moving.add_argument(
        "--from",
        dest="former",
        type=Path,
        metavar="FILE",
        help="the servers file as it is, where OPENLINE_REDIS_SERVERS_FILE is the new one already",
    )
    moving.add_argument(
        "--install",
        action="store_true",
        help="put the new file in the place of OPENLINE_REDIS_SERVERS_FILE in time, when all services read that one; "
        "else you are asked to do it, and press Enter",
    )
    moving.add_argument(
        "--seconds",
        type=_seconds,
        default=SECONDS,
        metavar="S",
        help=f"for which writers are refused at most ({SECONDS:.0f}); when they are over nothing has changed",
    )
    moving.set_defaults(command=_move)
    status = commands.add_parser("status", help="which partitions are being handed over")
    status.set_defaults(command=_status)
    breaking = commands.add_parser(
        "break",
        help="end a handover that nobody finishes: writers go on at once, and readers are reset",
    )
    breaking.add_argument("--partition", type=int, metavar="N", help="that one alone")
    breaking.set_defaults(command=_break)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--partition",
        type=int,
        metavar="N",
        help="of several servers the one that holds it, with all that it holds",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=SECONDS,
        metavar="S",
        help=f"for which writers are refused at most ({SECONDS:.0f}), 1 to {seals.LONGEST:.0f}; when they are over before "
        "the work is done, readers are reset",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 1 <= seconds <= seals.LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from 1 to {seals.LONGEST:.0f}"
        )
    return seconds


async def _chosen(redis: Partitions, settings: Common, arguments: argparse.Namespace) -> Master:
    await redis.start()
    return choose(await masters(redis, settings.redis), arguments.partition)


async def _restart(redis: Partitions, settings: Common, arguments: argparse.Namespace) -> None:
    master = await _chosen(redis, settings, arguments)
    aof = await restart.check(redis.parts[master.partitions[0]], master)
    work = (
        partial(restart.by_shutdown, aof=aof)
        if arguments.shutdown
        else partial(restart.by_command, command=arguments.how)
    )
    await _hand_over(Handover(redis, master, seconds=arguments.seconds, say=_say), work)


async def _failover(redis: Partitions, settings: Common, arguments: argparse.Namespace) -> None:
    master = await _chosen(redis, settings, arguments)
    failover.check(master)
    await failover.until_agreed(master, settings.redis_access, _say)
    work = failover.how(master, settings.redis_access)
    await _hand_over(Handover(redis, master, seconds=arguments.seconds, say=_say), work)


async def _hand_over(handover: Handover, work: Callable[[Handover], Awaitable[str]]) -> None:
    refused = await handover.run(work)
    _say(
        f"unsealed {handover.master}: writers were refused for {refused * 1000:.0f} ms, no reader is reset"
    )


async def _move(redis: Partitions, settings: Common, arguments: argparse.Namespace) -> None:  # noqa: ARG001
    maps = Maps.of(settings, former=arguments.former, new=arguments.to)
    async with maps.stores(settings) as (source, target):
        move = Move(
            maps.partition, source=source, target=target, seconds=arguments.seconds, say=_say
        )
        await move.run(maps.install if arguments.install else partial(ask_to_install, _say))


async def _status(redis: Partitions, settings: Common, arguments: argparse.Namespace) -> None:  # noqa: ARG001
    for state in await seals.states(redis, range(redis.partitions)):
        what = "no handover"
        if state.left is not None:
            what = (
                f"sealed for {state.left:.1f} s more"
                if state.left
                else "sealed, and its time is over: the next writer ends it, and readers are reset"
            )
        _say(f"partition {state.partition}: {what}")


async def _break(redis: Partitions, settings: Common, arguments: argparse.Namespace) -> None:  # noqa: ARG001
    numbers = range(redis.partitions)
    if arguments.partition is not None:
        if arguments.partition not in numbers:
            raise RefusedError(
                f"--partition {arguments.partition}: there are partitions 0 to {numbers[-1]}"
            )
        numbers = range(arguments.partition, arguments.partition + 1)
    broken = [number for number in numbers if await seals.break_seal(redis, number)]
    if not broken:
        raise RefusedError("no handover is open: there is nothing to break")
    _say(f"broken {spelled(broken)}: writers go on, and readers get a reset")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
