"""Ports for tests that run at the same time."""

from __future__ import annotations

import fcntl
import os

from tests.support import ports


def test_no_port_is_handed_out_twice():
    taken = [ports.free_port() for _ in range(3 * ports.SIZE)]
    assert len(set(taken)) == len(taken)


def test_a_block_that_another_process_holds_is_left_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ports, "_LOCKS", tmp_path)
    monkeypatch.setattr(ports, "_STARTS", [20_000, 20_016])
    monkeypatch.setattr(ports, "_is_free", lambda _: True)  # whoever else listens there just now
    other = os.open(tmp_path / "20000", os.O_CREAT | os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    assert ports.free_block() == 20_016
    os.close(other)
