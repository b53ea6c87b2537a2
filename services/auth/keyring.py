"""The keys that sign: kept in one private file that all instances share, made and rotated as one step."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens import keys
from services.kernel.tokens.keys import Key

RETIRED = 86_400 + 3_600
"""Seconds for which a retired key still verifies: the longest life of a token and a margin."""
MAX_RETIRED = 16


class KeyringError(Exception):
    """The file of the keys is not one that was written here; the text names it and the fix."""


class Signer(NamedTuple):
    """What signs now. `private` is a private key of cryptography, or the bytes of a secret."""

    kid: str
    algorithm: str
    private: Any


class Keyring(Protocol):
    """Signs, publishes and verifies; as `Keys` it knows only the keys of this service."""

    @property
    def generation(self) -> int:
        """As `Keys.generation`."""

    def signer(self) -> Signer:
        """The current key."""

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517): the next, the current, and retired ones whose tokens may still live."""

    def rotate(self) -> str:
        """Sign with the next key from now on; answers its kid. Raises `conflict`."""

    def find(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """As `Keys.find`."""

    async def refresh(self) -> bool:
        """As `Keys.refresh`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One key pair of the file. The next key is published before it signs, so that verifiers know it in time."""

    kid: str
    algorithm: str
    pem: str
    state: str  # next, current, retired
    retired: float = 0.0

    def private(self) -> Any:
        return serialization.load_pem_private_key(self.pem.encode(), password=None)


class FileKeyring:
    """Ed25519, P-256 or RSA keys in `folder/keyring.json` (mode 600), read again whenever the file changes."""

    def __init__(
        self, folder: Path, *, algorithm: str = "EdDSA", clock: Callable[[], float] = time.time
    ) -> None:
        self.generation = 0
        self._folder = folder
        self._path = folder / "keyring.json"
        self._algorithm = algorithm
        self._clock = clock
        self._seen: tuple[int, ...] = ()
        self._signer: Signer
        self._public: list[tuple[_Entry, Any]] = []
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._found()

    def signer(self) -> Signer:
        """As `Keyring.signer`."""
        self._look()
        return self._signer

    def jwks(self) -> dict[str, Any]:
        """As `Keyring.jwks`."""
        return {"keys": [_jwk(entry, public) for entry, public in self._valid()]}

    def find(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """As `Keys.find`."""
        found = (Key(public, kid=entry.kid) for entry, public in self._valid())
        return keys.select(found, kid, algorithm)

    async def refresh(self) -> bool:
        """True: the file is the whole truth, and it was read when a key was looked for."""
        return True

    def rotate(self) -> str:
        """As `Keyring.rotate`. May take a second with RSA: not for the event loop."""
        try:
            with self._locked():
                self._write(self._rotated(self._rotatable()))
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
            raise OpenlineError(
                Code.CONFLICT, "auth can only read its keys: rotate them where their file is made"
            ) from error
        return self.signer().kid

    def _rotatable(self) -> list[_Entry]:
        entries = [entry for entry in self._read() if self._lives(entry)]
        if sum(entry.state == "retired" for entry in entries) >= MAX_RETIRED:
            raise OpenlineError(
                Code.CONFLICT,
                f"{MAX_RETIRED} retired keys still verify tokens; wait for one to end",
            )
        return entries

    def _found(self) -> None:
        """Make the first keys, or follow the settings to another algorithm; instances take turns.

        What needs neither is only read: the folder may be a secret's, which nobody can write to.
        """
        if not self._signs(self._read()):
            with self._locked():
                self._make(self._read())
        self._look()

    def _signs(self, entries: list[_Entry]) -> bool:
        return any(e.state == "current" and e.algorithm == self._algorithm for e in entries)

    def _make(self, entries: list[_Entry]) -> None:
        if not self._signs(entries):
            kept = [self._retire(e) for e in entries if e.state != "next" and self._lives(e)]
            self._write([_new(self._algorithm, "current"), _new(self._algorithm, "next"), *kept])

    def _rotated(self, entries: list[_Entry]) -> list[_Entry]:
        states = {"next": "current", "current": "retired"}
        now = self._clock()
        moved = [
            _Entry(
                kid=entry.kid,
                algorithm=entry.algorithm,
                pem=entry.pem,
                state=states.get(entry.state, entry.state),
                retired=now if entry.state == "current" else entry.retired,
            )
            for entry in entries
        ]
        return [*moved, _new(self._algorithm, "next")]

    def _retire(self, entry: _Entry) -> _Entry:
        return _Entry(
            kid=entry.kid,
            algorithm=entry.algorithm,
            pem=entry.pem,
            state="retired",
            retired=entry.retired or self._clock(),
        )

    def _lives(self, entry: _Entry) -> bool:
        return entry.state != "retired" or self._clock() < entry.retired + RETIRED

    def _valid(self) -> list[tuple[_Entry, Any]]:
        self._look()
        return [(entry, public) for entry, public in self._public if self._lives(entry)]

    def _look(self) -> None:
        """Read the file again when another instance has written it; costs one `stat`."""
        stat = self._path.stat()
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen == self._seen:
            return
        entries = self._read()
        current = next(entry for entry in entries if entry.state == "current")
        self._signer = Signer(current.kid, current.algorithm, current.private())
        self._public = [(entry, entry.private().public_key()) for entry in entries]
        self._seen = seen
        self.generation += 1

    def _read(self) -> list[_Entry]:
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return []
        try:
            return [_Entry(**entry) for entry in json.loads(text)["keys"]]
        except (ValueError, KeyError, TypeError) as error:
            raise KeyringError(
                f"{self._path} is not a keyring; restore it from a backup"
            ) from error

    def _write(self, entries: list[_Entry]) -> None:
        """Replace the file in one step: a reader sees the old or the new one, also after a crash."""
        document = {"keys": [{s: getattr(e, s) for s in _Entry.__slots__} for e in entries]}
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=".keyring-")  # mode 600
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self._path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "keyring.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class SecretKeyring:
    """One HS256 secret from the settings. Nothing is published, and only the settings can change it."""

    generation = 0

    def __init__(self, secret: str) -> None:
        """Raises `UntrustedKeyError` when the secret is too short."""
        self._key = keys.secret(secret)
        self._signer = Signer(self._key.kid or "", "HS256", secret.encode())

    def signer(self) -> Signer:
        """As `Keyring.signer`."""
        return self._signer

    def jwks(self) -> dict[str, Any]:
        """An empty set: a secret is not published."""
        return {"keys": []}

    def rotate(self) -> str:
        """Raises `conflict`."""
        raise OpenlineError(
            Code.CONFLICT, "tokens are signed with OPENLINE_HS256_SECRET: change it and restart"
        )

    def find(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """As `Keys.find`."""
        return keys.select([self._key], kid, algorithm)

    async def refresh(self) -> bool:
        """True: there are no others."""
        return True


def _new(algorithm: str, state: str) -> _Entry:
    private: Any
    if algorithm == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
    elif algorithm == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
    else:
        private = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return _Entry(kid=os.urandom(12).hex(), algorithm=algorithm, pem=pem, state=state)


def _jwk(entry: _Entry, public: Any) -> dict[str, Any]:
    makers: dict[str, Callable[..., Any]] = {
        "EdDSA": OKPAlgorithm.to_jwk,
        "ES256": ECAlgorithm.to_jwk,
        "RS256": RSAAlgorithm.to_jwk,
    }
    jwk = makers[entry.algorithm](public, as_dict=True)
    return {**jwk, "kid": entry.kid, "use": "sig", "alg": entry.algorithm}
