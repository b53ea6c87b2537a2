"""Makes the secret files of an overlay that are missing: `make k8s-secrets [OVERLAY=prod REDIS_URL=... DATABASE_URL=...]`.

`k8s/overlays/dev` gets random passwords and the URLs of its own stores; `prod` takes the URLs of yours. Both get a
keyring for auth, which `make k8s-rotate-keys` rotates. `load` is dev and the secret of the load's client, `sentinel` and
`cluster` are dev and the address of its Redis by Sentinels or as a Cluster. What exists stays as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from services.auth.keyring import FileKeyring
from services.kernel.domain.codes import OpenlineError

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path("secrets", "made-by-make-k8s-secrets")
"""In the overlay. kustomize names the folder when it is missing, and its name says what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 done, 1 refused with one line, 2 wrong usage."""
    wanted = _parser().parse_args(argv)
    overlay: Path = wanted.overlays / wanted.overlay
    if not (overlay / "kustomization.yaml").exists():
        return _refuse(f"there is no overlay {overlay}")
    folder = overlay / FOLDER
    if wanted.rotate:
        return _rotate(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if wanted.overlay == "load":
        _client(folder)
        return main(["dev", "--overlays", str(wanted.overlays)])
    if address := _ADDRESSES.get(wanted.overlay):
        done = main(["dev", "--overlays", str(wanted.overlays)])
        _readdress(folder, wanted.overlays / "dev" / FOLDER, address)
        return done
    if wanted.overlay == "dev":
        _passwords(folder)  # its stores are its own, whatever the environment says
    elif missing := _urls(folder):
        return _refuse(
            f"{wanted.overlay} needs {' and '.join(missing)}: make k8s-secrets OVERLAY={wanted.overlay} "
            "REDIS_URL=rediss://:PASSWORD@HOST:6379/0 DATABASE_URL=postgresql://USER:PASSWORD@HOST/NAME, "
            "or REDIS_SERVERS=FILE in place of the former for several servers"
        )
    _keyring(folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.k8s_secrets", description=__doc__)
    parser.add_argument("overlay", nargs="?", default="dev", help="a folder of k8s/overlays")
    parser.add_argument("--overlays", type=Path, default=ROOT / "k8s" / "overlays")
    parser.add_argument("--rotate", action="store_true", help="only change the key that signs")
    return parser


def _passwords(folder: Path) -> None:
    """The stores of dev have the names of those of compose, so the same files serve."""
    environment = {**os.environ, "OPENLINE_SECRETS": str(folder)}
    subprocess.run([str(ROOT / "scripts" / "secrets.sh")], check=True, env=environment)  # noqa: S603 - our own


def _hosts(count: int, port: int) -> str:
    return ",".join(f"redis-{number}.redis:{port}" for number in range(count))


_ADDRESSES = {
    "sentinel": f"redis+sentinel://:{{0}}@{_hosts(3, 26379)}/openline/0?sentinel_password={{0}}",
    "cluster": f"redis+cluster://:{{0}}@{_hosts(6, 6379)}",
}
"""The address of Redis in overlays of dev that have another one; {0} is the password."""


def _readdress(folder: Path, dev: Path, address: str) -> None:
    """The address of the same servers, with their password."""
    url = address.format((dev / "redis_password").read_text("utf-8").strip())
    path = folder / "redis_url"
    if not path.exists() or path.read_text("utf-8").strip() != url:
        _keep(path, url)


def _urls(folder: Path) -> list[str]:
    """Keep the URLs that the environment gives; answers those that are neither given nor there."""
    if path := os.environ.get("REDIS_SERVERS"):
        _keep(folder / "redis_servers", Path(path).read_text("utf-8").strip())
    names = ("redis_url", "database_url")
    for name in names:
        if value := os.environ.get(name.upper()):
            _keep(folder / name, value)
    missing = [name for name in names if not (folder / name).exists()]
    if (folder / "redis_servers").exists() and "redis_url" in missing:
        missing.remove("redis_url")
    return [name.upper() for name in missing]


def _keep(path: Path, value: str) -> None:
    """Write a secret, readable for its owner alone. What exists is replaced: an address was given to be used."""
    path.unlink(missing_ok=True)
    with open(path, "x", encoding="utf-8", opener=_private) as file:
        file.write(f"{value}\n")
    _say(f"made {path}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _client(folder: Path) -> None:
    if not (folder / "load_client_secret").exists():
        _keep(folder / "load_client_secret", secrets.token_hex(24))


def _keyring(folder: Path) -> None:
    if not (folder / "keyring.json").exists():
        FileKeyring(folder, algorithm=os.environ.get("OPENLINE_AUTH_ALGORITHM") or "EdDSA")
        _say(f"made {folder / 'keyring.json'}")


def _algorithm(folder: Path) -> str:
    """What the keyring signs with now: a rotation keeps it."""
    kept = json.loads((folder / "keyring.json").read_text("utf-8"))["keys"]
    return str(next(key["algorithm"] for key in kept if key["state"] == "current"))


def _rotate(folder: Path) -> int:
    if not (folder / "keyring.json").exists():
        return _refuse(f"there is no {folder / 'keyring.json'}; make k8s-secrets makes it")
    try:
        kid = FileKeyring(folder, algorithm=_algorithm(folder)).rotate()
    except OpenlineError as error:
        return _refuse(error.message)
    _say(f"{folder / 'keyring.json'} signs with {kid} now; kubectl apply -k the overlay again")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"openline: {line}\n")


def _refuse(line: str) -> int:
    sys.stderr.write(f"openline: {line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
