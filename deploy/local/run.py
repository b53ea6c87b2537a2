"""Runs the whole system on this machine until Ctrl-C: `python -m deploy.local.run`."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import redis as redis_client

from deploy.local import leaving, logs, plan, ports, private, programs, reload, screen
from deploy.local.accounts import Demo
from deploy.local.plan import Plan
from deploy.local.processes import Process, Program, StartError, die_with_parent
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.ops import redaction
from services.kernel.ops.refusal import refuse
from services.kernel.ops.settings import load
from services.kernel.redis import locators, store_url
from services.kernel.redis.connections import Dial

_GRACE = 15.0


class Run:
    """One run: what is up, and the file that says so."""

    def __init__(self, the_plan: Plan) -> None:
        self.plan = the_plan
        self.demo = Demo(the_plan)
        self._processes: list[Process] = []
        self._up = False

    async def start(self) -> None:
        """Start everything in order, each step when the one before is ready. Raises StartError."""
        if self.plan.redis_port is not None:
            await self._start(programs.redis(self.plan))
        elif self.plan.redis_url:  # of several servers, services tell which is away
            await asyncio.to_thread(_check_redis, self.plan.redis_url)
        await self._start(programs.auth(self.plan))
        await _together(
            self._start(
                programs.publisher(self.plan),
                *programs.gateways(self.plan),
                *programs.demo(self.plan),
            ),
            self.demo.provision(self.plan),
        )
        await self._start(programs.front_door(self.plan))
        self._up = True
        self._write()

    def reload(self) -> Coroutine[Any, Any, None]:
        """Restart services whose files change from now on, for ever."""
        return reload.watch(self._processes)

    def move_clients(self) -> Coroutine[Any, Any, None]:
        """Have clients moved from nginx's old workers at each reload from now on, for ever."""
        front_door = self._processes[-1]
        seconds = programs.drain_seconds(self.plan)
        return leaving.watch(lambda: front_door.pid, self.plan.gateways, round(seconds))

    def bound_logs(self) -> Coroutine[Any, Any, None]:
        """Keep logs from growing without end from now on, for ever."""
        return logs.bound(self.plan.var / "logs")

    async def stop(self) -> None:
        """End everything and wait until it has ended: gateways before nginx, through which they tell clients; Redis last."""
        (self.plan.var / "run.json").unlink(missing_ok=True)
        order = {"gateway": 0, "redis": 2}
        groups: tuple[list[Process], ...] = ([], [], [])
        for process in self._processes:
            groups[order.get(process.program.name.partition("-")[0], 1)].append(process)
        for group in groups:
            for process in group:
                process.terminate()
            await asyncio.gather(*(process.ended(_GRACE) for process in group))

    async def _start(self, *started: Program) -> None:
        processes = [Process(program, on_change=self._write, announce=_say) for program in started]
        self._processes += processes
        await _together(*(process.start() for process in processes))

    def _write(self) -> None:
        if not self._up:
            return
        pids = {p.program.name: p.pid for p in self._processes if p.pid is not None}
        content = {
            "front_door": self.plan.front_door,
            "gateways": self.plan.gateways,
            "auth": self.plan.auth,
            "publisher": self.plan.publisher,
            "redis": self.plan.redis_url,
            "nginx_status": self.plan.status,
            "users": self.demo.users,
            "clients": self.demo.clients,
            "pids": {"supervisor": os.getpid(), **pids},
        }
        private.write_json(self.plan.var / "run.json", content)


def main() -> None:
    """Start, print one screen, wait for SIGINT or SIGTERM, stop.

    Exit status 2 when something is refused before anything starts, 1 when something did not start.
    """
    if os.environ.get("OPENLINE_TIED"):
        die_with_parent(signal.SIGTERM)  # make may be killed without a word
    settings = load(plan.Settings)
    var = settings.var.resolve()
    with _alone(var):
        the_plan = plan.make(settings)
        programs.check_settings(the_plan)
        plan.check_ports(the_plan)
        with plan.front_door_claimed(the_plan):
            _raise_file_limit()
            sys.exit(asyncio.run(_run(the_plan, reloads=settings.reload)))


async def _run(the_plan: Plan, *, reloads: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    began = time.monotonic()
    _say("starting Redis, auth, the publisher, the gateways and nginx ...")
    run = Run(the_plan)
    starting = asyncio.create_task(run.start())
    waiting = asyncio.create_task(stop.wait())
    tasks = {starting, waiting}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            sys.stdout.write(screen.ready(the_plan, run.demo) + "\n")
            _say(f"ready after {time.monotonic() - began:.1f} s")
            tasks.add(asyncio.create_task(run.move_clients()))
            tasks.add(asyncio.create_task(run.bound_logs()))
            if reloads:
                tasks.add(asyncio.create_task(run.reload()))
                _say("watching the services' files; a service whose files change is restarted")
            await waiting
    except (StartError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _say("stopping ...")
        await run.stop()
        _say("stopped")
    return 0


async def _together(*steps: Coroutine[Any, Any, None]) -> None:
    """Run the steps at once; when one fails the others are cancelled, and the first error is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except BaseExceptionGroup as errors:
        # Not `except*`: what that raises is in a group again.
        raise errors.exceptions[0] from None


@contextlib.contextmanager
def _alone(var: Path) -> Iterator[None]:
    """Hold the data folder's lock, or end with one line saying who holds it and how to run beside it."""
    try:
        # Private: it will hold keys, passwords and messages.
        var.mkdir(mode=0o700, parents=True, exist_ok=True)
        var.chmod(0o700)  # one that was there may be open to all
        file = (var / "run.lock").open("w")
    except OSError as error:
        problem = error.strerror or str(error)
        refuse(f"OPENLINE_VAR={var}: {problem}; set it to a folder that can be written")
    with file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = ports.free_port()
            refuse(
                f"{_running(var)}; for another one beside it: "
                f"OPENLINE_PORT={other} OPENLINE_VAR=var-{other} {plan.COMMAND}"
            )
        yield


def _running(var: Path) -> str:
    try:
        found = json.loads((var / "run.json").read_text("utf-8"))
        door, pid = found["front_door"], found["pids"]["supervisor"]
    except (OSError, ValueError, KeyError):
        return f"Openline is starting or stopping already with the data folder {var}"
    port = door.rpartition(":")[2]
    return f"Openline is running already at {door} (port {port} is in use by it, process {pid})"


def _check_redis(url: str) -> None:
    try:
        store = store_url.parse(url)
        if store.sentinels or store.nodes:
            asyncio.run(_ask_the_master(store))
            return
        with redis_client.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3) as client:
            client.ping()
    except (redis_client.RedisError, OSError, ConfigurationError, ValueError) as error:
        shown = redaction.text(url)
        raise StartError(
            f"OPENLINE_REDIS_URL={shown}: {error}; start it, correct the URL, or leave the variable out"
        ) from None


async def _ask_the_master(store: store_url.StoreUrl) -> None:
    """Raises RedisError, OSError or ConfigurationError unless a master is found and answers."""
    locator = locators.of(store)
    try:
        pipe = await Dial(store.server, locator=locator).connect()
        pipe.cut()
    finally:
        await locator.close()


def _raise_file_limit() -> None:
    """Sockets are files: take all that this user may have, for the children too."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else 65_536, hard)
        )


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        sys.stdout.write(f"openline: {line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
