"""What can be measured: a running server, how one subscribes to it and how one publishes to it; and the baselines."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

from deploy.local import nginx as templates
from deploy.local.ports import free_port
from deploy.local.programs import find_nginx, valkey
from loadtest.bench.baselines import tutorial
from loadtest.bench.remote import ROOT

HOST = "127.0.0.1"
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_FOLDER = Path(__file__).parent / "baselines"


class AbsentError(Exception):
    """What is to be measured is not installed; the message says what to install."""


@dataclass(slots=True, kw_only=True)
class Target:
    """A running server. `subscribe` and `feed` are the commands `open` of load clients and feeders; `programs` are
    the processes whose CPU time counts, by name.
    """

    name: str
    subscribe: dict[str, Any]
    feed: dict[str, Any]
    programs: dict[str, int]
    stop: Callable[[], None] = field(default=lambda: None)


class Child:
    """A server process of a baseline; ready when made. Raises RuntimeError when it does not listen within 20 s."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        *,
        variables: Mapping[str, str] | None = None,
        files: Sequence[int] = (),
    ) -> None:
        """`files` are open ones that it inherits."""
        self.port = port
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd=ROOT,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=files,
        )
        deadline = time.monotonic() + 90
        while not _listens(port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{' '.join(command)}: does not listen on port {port}")
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


def store() -> Child:
    """A Valkey of its own, as Openline's, which keeps nothing."""
    port = free_port()
    return Child([valkey(), "--port", str(port), "--bind", HOST, "--save", ""], port)


def python(module: str, *arguments: str) -> Child:
    """A baseline in Python."""
    port = free_port()
    name = f"loadtest.bench.baselines.{module}"
    return Child([sys.executable, "-m", name, str(port), *arguments], port)


def _plain(name: str, child: Child, path: str = "/ws") -> Target:
    """A server that gives every text message it gets to everyone."""
    at = {"host": HOST, "port": child.port, "paths": [path]}
    return Target(
        name=name,
        subscribe=at,
        feed={"kind": "socket", **at},
        programs={name: child.pid},
        stop=child.stop,
    )


def tutorials() -> Target:
    """The tutorials' loop."""
    return _plain("tutorials' loop", python("tutorial"))


def tutorials_with_token() -> Target:
    """The same behind PyJWT."""
    claims = {"sub": "alice", "aud": tutorial.AUDIENCE, "exp": int(time.time()) + 86_400}
    token = jwt.encode(claims, tutorial.SECRET, algorithm="HS256")
    return _plain("tutorials' loop", python("tutorial"), f"/ws/token?token={token}")


def floor() -> Target:
    """A bare uvloop protocol."""
    return _plain("bare uvloop", python("floor"))


def broadcast() -> Target:
    """`websockets.broadcast`."""
    return _plain("websockets.broadcast", python("broadcast"))


def node_ws(folder: Path) -> Target:
    """Node's `ws`."""
    return _plain("node ws", _node("ws", folder))


def socketio(folder: Path) -> Target:
    """Socket.IO. Engine.IO's open packet is answered by Socket.IO's connect, `40`, which is answered likewise."""
    child = _node("socketio", folder)
    at = {
        "host": HOST,
        "port": child.port,
        "paths": ["/socket.io/?EIO=4&transport=websocket"],
        "hellos": [["40"]],
        "joined": '40{"sid"',
    }
    return Target(
        name="Socket.IO",
        subscribe=at,
        feed={"kind": "socket", "wrap": '42["message",{}]', **at},
        programs={"Socket.IO": child.pid},
        stop=child.stop,
    )


def _node(script: str, folder: Path) -> Child:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise AbsentError("node and npm are not installed (Debian: apt-get install nodejs npm)")
    modules = folder / "node" / "node_modules"
    if not (modules / "ws").exists() or not (modules / "socket.io").exists():
        modules.parent.mkdir(parents=True, exist_ok=True)
        options = ["--no-audit", "--no-fund", "--no-package-lock", "--no-save", "--prefix"]
        done = subprocess.run(  # noqa: S603 - our own command
            [npm, "install", *options, str(modules.parent), "ws", "socket.io"],
            capture_output=True,
            check=False,
            timeout=180,
        )
        if done.returncode:
            raise AbsentError("npm could not install ws and socket.io")
    port = free_port()
    path = _FOLDER / "node" / f"{script}.js"
    return Child([node, str(path), str(port)], port, variables={"NODE_PATH": str(modules)})


def nchan(folder: Path) -> Target:
    """Nchan in Debian's nginx, one worker.

    It does not set TCP_NODELAY: where a reader has not acknowledged the last message, the kernel holds back the next one
    and sends it later on the reader's account. Its listening socket is made here with the option, which accepted ones
    inherit, so that messages leave at once as with everybody else.
    """
    if not NCHAN_MODULE.exists():
        raise AbsentError("Nchan is not installed (Debian: apt-get install libnginx-mod-nchan)")
    port, place = free_port(), folder / "nchan"
    (place / "temp").mkdir(parents=True, exist_ok=True)
    values = {"PORT": str(port), "MODULE": str(NCHAN_MODULE), "FILES": "15000"}
    configuration = place / "nchan.conf"
    text = (_FOLDER / "nchan.conf").read_text("utf-8")
    configuration.write_text(templates.fill(text, values), "utf-8")
    log = place / "nchan.log"
    command = [find_nginx(), "-p", f"{place}/", "-c", str(configuration), "-e", str(log)]
    with socket.create_server((HOST, port), backlog=2048) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = listener.fileno()
        # So does an nginx that is replaced hand its sockets on.
        child = Child(command, port, variables={"NGINX": f"{number};"}, files=[number])
    return Target(
        name="Nchan",
        subscribe={"host": HOST, "port": port, "paths": ["/subscribe"]},
        feed={"kind": "post", "host": HOST, "port": port, "paths": ["/publish"], "headers": ""},
        programs={"Nchan": child.pid},
        stop=child.stop,
    )
