"""Free ports for what starts at the same time."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest

from deploy.local import ports

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names to claim")
_number = itertools.count()


def test_no_port_is_handed_out_twice():
    taken = [ports.free_port() for _ in range(3 * ports.BLOCK)]
    assert len(set(taken)) == len(taken)


@on_linux
def test_a_block_that_is_claimed_is_left_to_whoever_claimed_it(monkeypatch):
    first, second = _numbers(2)
    monkeypatch.setattr(ports, "_STARTS", [first, second])
    monkeypatch.setattr(ports, "is_free", lambda _: True)
    with ports.claim(f"ports.{first}"):
        assert ports.free_block() == second
    assert ports.free_block() == first


@on_linux
@pytest.mark.server
def test_processes_that_choose_at_once_choose_different_ports():
    """None of them listens yet: what each chose is its own until it ends."""
    code = f"""
from deploy.local import ports
ports._STARTS, ports.is_free = {_numbers(12)}, lambda _: True
print(*(ports.free_port() for _ in range({3 * ports.BLOCK})), flush=True)
input()
"""
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
        for _ in range(4)
    ]
    chosen = [port for each in started for port in each.stdout.readline().split()]
    for each in started:
        each.communicate("\n")
    assert len(set(chosen)) == len(chosen) == 12 * ports.BLOCK


def _numbers(blocks):
    """Where blocks begin that nobody else has: no ports, so nobody listens there, but their names can be claimed."""
    return [1_000_000 * os.getpid() + next(_number) * ports.BLOCK for _ in range(blocks)]
