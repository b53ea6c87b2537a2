"""The command `openline-server`: each verb becomes a process whose path begins with the tree that this package holds.

The tree's own top-level names (`services`, `deploy`) are thus importable there and nowhere else: a user's application may
have packages of these names.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE if (PACKAGE / "services").is_dir() else PACKAGE.parent
"""The folder of the tree: this package when it is installed, the one above in a checkout."""

NAMESPACES = "OPENLINE_NAMESPACES"
_MODULES = {
    "gateway": "services.gateway",
    "auth": "services.auth",
    "publisher": "services.publisher",
    "admin": "services.auth.admin",
    "handover": "services.handover",
}
_WHAT = {
    "admin": "administer auth's users and clients",
    "handover": "planned work on Redis without a reset",
}
_EXAMPLES = """\
examples:
  openline-server run                       everything on this machine, behind nginx, until Ctrl-C
  openline-server run --memory              one process without Redis and nginx: for trying out and for tests
  openline-server run --port 8090 --var var-8090
                                            a second copy beside the first
  openline-server gateway --help            every setting of one service
  OPENLINE_REDIS_URL=redis://10.0.0.5/0 openline-server gateway
                                            one service of a deployment
  openline-server admin add-client backend --scope "publish read"
                                            a client for your back end, in auth's database
  openline-server handover failover         another Redis becomes master, and no reader is reset
"""


def main() -> None:
    """Become what the arguments ask for. A wrong argument ends with exit status 2 and the usage."""
    given = sys.argv[1:]
    if given and given[0] in _MODULES:
        become(_MODULES[given[0]], given[1:])
    parser = _parser()
    chosen = parser.parse_args(given)
    if chosen.verb is None:
        parser.print_help()
        raise SystemExit(2)
    if chosen.memory:
        refused = [name for name in ("gateways", "var") if getattr(chosen, name) is not None]
        if refused:
            parser.error(f"--memory is one process without files: leave out --{refused[0]}")
    if chosen.control and not chosen.memory:
        parser.error("--control is for --memory")
    module = "services.embedded" if chosen.memory else "deploy.local.run"
    become(module, ["--control"] if chosen.control else [], variables(chosen))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openline-server",
        description="Openline's real-time server.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"openline-server {version()}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    run = verbs.add_parser(
        "run",
        help="everything on this machine until Ctrl-C",
        description="Runs everything on this machine until Ctrl-C. Each OPENLINE_ variable counts too; flags come first.",
    )
    run.add_argument(
        "--memory", action="store_true", help="one process without Redis and nginx; keeps nothing"
    )
    # For whoever steers it through its standard input, which ends it.
    run.add_argument("--control", action="store_true", help=argparse.SUPPRESS)
    run.add_argument("--host", help="address that the front door listens on (127.0.0.1)")
    run.add_argument("--port", type=int, help="its port (8080); 0 takes a free one")
    run.add_argument("--gateways", type=int, help="how many gateways (2)")
    run.add_argument("--var", help="folder for everything that the run writes (var)")
    for name, module in _MODULES.items():
        what = _WHAT.get(name, f"the {name} alone")
        verbs.add_parser(name, help=f"{what} (python -m {module})", add_help=False)
    return parser


def variables(chosen: argparse.Namespace) -> dict[str, str]:
    """The flags of `run` as the variables that they stand for."""
    flags = ("host", "port", "gateways", "var")
    return {
        f"OPENLINE_{name.upper()}": str(value)
        for name in flags
        if (value := getattr(chosen, name)) is not None
    }


def become(module: str, arguments: Sequence[str], extra: Mapping[str, str] | None = None) -> None:
    """Replace this process by `python -m module` on the tree's path. Does not return."""
    command = [sys.executable, "-P", "-m", module, *arguments]
    os.execve(sys.executable, command, environment({**os.environ, **(extra or {})}))  # noqa: S606 - our own


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What a process of the tree gets: its path in front, and the tree's namespaces where none were given."""
    path = os.pathsep.join(filter(None, (str(ROOT), given.get("PYTHONPATH"))))
    result = {**given, "PYTHONPATH": path}
    if not given.get(NAMESPACES) and not given.get(f"{NAMESPACES}_FILE"):
        result[NAMESPACES] = str(ROOT / "deploy" / "namespaces.toml")
    return result


def version() -> str:
    """That of the checkout around this package, else of the installed distribution."""
    project = ROOT / "pyproject.toml"
    if project.is_file():
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
    return installed("openline-server")


if __name__ == "__main__":
    main()
