"""The keyring: made once, shared by instances, rotated as one step."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import threading
from pathlib import Path

import jwt
import pytest

from services.auth.keyring import MAX_RETIRED, RETIRED, FileKeyring, SecretKeyring
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.keys import UntrustedKeyError, from_jwk


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def sign(ring):
    kid, algorithm, private = ring.signer()
    return jwt.encode({}, private, algorithm=algorithm, headers={"kid": kid})


def verifies(ring, token):
    head = jwt.get_unverified_header(token)
    message, _, signature = token.rpartition(".")
    data = jwt.utils.base64url_decode(signature)
    return any(k.verifies(message.encode(), data) for k in ring.find(head["kid"], head["alg"]))


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
async def test_what_is_signed_verifies_by_the_published_keys(tmp_path, algorithm):
    ring = FileKeyring(tmp_path / "keys", algorithm=algorithm)
    assert verifies(ring, sign(ring))
    assert await ring.refresh()
    keys = [from_jwk(jwk) for jwk in ring.jwks()["keys"]]
    assert {key.algorithm for key in keys} == {algorithm}
    assert len(keys) == 2, "the current and the next"
    assert not any({"d", "p", "q"} & set(jwk) for jwk in ring.jwks()["keys"])


def test_the_file_is_private_and_outlives_the_process(tmp_path):
    one = FileKeyring(tmp_path / "keys")
    file = tmp_path / "keys" / "keyring.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert FileKeyring(tmp_path / "keys").signer().kid == one.signer().kid


def test_instances_that_start_at_once_agree(tmp_path):
    kids = []

    def start():
        kids.append(FileKeyring(tmp_path / "keys").signer().kid)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kids) == 8
    assert len(set(kids)) == 1


def test_rotation_is_seen_by_every_instance_and_old_tokens_stay_good(tmp_path):
    one, two = FileKeyring(tmp_path), FileKeyring(tmp_path)
    token, following = sign(one), one.jwks()["keys"]
    before = two.generation
    kid = one.rotate()
    assert kid in {key["kid"] for key in following}
    assert two.signer().kid == kid
    assert two.generation > before
    assert verifies(two, token)
    assert verifies(two, sign(one))


def test_a_retired_key_ends_when_its_tokens_have(tmp_path):
    clock = Clock()
    ring = FileKeyring(tmp_path, clock=clock)
    token = sign(ring)
    ring.rotate()
    clock.now += RETIRED - 1
    assert verifies(ring, token)
    clock.now += 2
    assert not verifies(ring, token)
    assert len(ring.jwks()["keys"]) == 2


def test_rotation_without_end_is_refused(tmp_path):
    ring = FileKeyring(tmp_path)
    for _ in range(MAX_RETIRED):
        ring.rotate()
    with pytest.raises(OpenlineError) as caught:
        ring.rotate()
    assert caught.value.code is Code.CONFLICT


def test_another_algorithm_takes_over_and_old_tokens_stay_good(tmp_path):
    token = sign(FileKeyring(tmp_path))
    ring = FileKeyring(tmp_path, algorithm="ES256")
    assert ring.signer().algorithm == "ES256"
    assert verifies(ring, token)
    assert verifies(ring, sign(ring))


@pytest.fixture
def secret_folder():
    """A folder as Kubernetes mounts a Secret: its files can be read and nothing can be written."""
    folder = Path(tempfile.mkdtemp())
    FileKeyring(folder)
    (folder / "keyring.json").chmod(0o444)
    (folder / "keyring.lock").unlink()
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)  # modes do not stop root
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_keys_that_can_only_be_read_sign_and_are_rotated_elsewhere(secret_folder):
    ring = FileKeyring(secret_folder)
    assert verifies(FileKeyring(secret_folder), sign(ring))
    with pytest.raises(OpenlineError, match="where their file is made") as caught:
        ring.rotate()
    assert caught.value.code is Code.CONFLICT
    with pytest.raises(PermissionError):
        FileKeyring(secret_folder, algorithm="ES256")


async def test_a_secret_signs_and_is_not_published():
    ring = SecretKeyring("s" * 32)
    assert verifies(ring, sign(ring))
    assert ring.jwks() == {"keys": []}
    assert await ring.refresh()
    with pytest.raises(OpenlineError):
        ring.rotate()
    with pytest.raises(UntrustedKeyError):
        SecretKeyring("short")
