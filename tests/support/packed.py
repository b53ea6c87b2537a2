"""`@openline/client` as users have it: packed, installed into a folder of its own, with nothing of this repository beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.support.node import CLIENT, run

# The tools and what pages need lie there too: nothing is fetched.
_BESIDE = ("react", "react-dom", "scheduler", "@types", "csstype", "undici-types")


def install(sources: Path, app: Path) -> Path:
    """Pack what is built in a copy at `sources`, and install it in the empty folder `app`, which is given back."""
    if not (CLIENT / "node_modules").exists():
        run("npm", "install", "--no-save", "--silent", folder=CLIENT, seconds=300)
    shutil.copytree(CLIENT, sources, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (sources / "node_modules").symlink_to(CLIENT / "node_modules")
    run("npm", "run", "-s", "build", folder=sources)
    packed = json.loads(run("npm", "pack", "--json", "--ignore-scripts", folder=sources))
    packed = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
    (app / "package.json").write_text('{"name": "app", "private": true, "type": "module"}')
    archive = sources / packed["filename"]
    quietly = ("--offline", "--no-audit", "--no-fund", "--omit=peer", "--ignore-scripts")
    run("npm", "install", *quietly, str(archive), folder=app)
    for name in _BESIDE:
        shutil.copytree(CLIENT / "node_modules" / name, app / "node_modules" / name)
    return app


def use_packages(sources: Path, app: Path) -> None:
    """Replace packages that lie beside the package in `app` by those that the lock in the folder `sources` names."""
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(sources / name, app.parent / name)
    run("npm", "ci", "--silent", folder=app.parent, seconds=300)
    for package in (app.parent / "node_modules").iterdir():
        shutil.rmtree(app / "node_modules" / package.name, ignore_errors=True)
        if not package.name.startswith("."):
            shutil.copytree(package, app / "node_modules" / package.name)


def tool(name: str, *arguments: str, folder: Path) -> str:
    """What a tool of our lock prints, run in a user's folder."""
    return run(str(CLIENT / "node_modules/.bin" / name), *arguments, folder=folder)
