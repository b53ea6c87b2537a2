"""Logs that are halved while they are written."""

from __future__ import annotations

from deploy.local import logs


def test_a_long_log_is_moved_aside_and_its_writer_goes_on_at_the_start(tmp_path):
    log, before = tmp_path / "service.log", tmp_path / "service.log.1"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 11)
        logs.halve(log, most=10)
        assert (before.read_bytes(), log.read_bytes()) == (b"x" * 11, b"")
        writer.write(b"new")
    assert log.read_bytes() == b"new"


def test_a_short_one_is_left_alone(tmp_path):
    log = tmp_path / "service.log"
    log.write_bytes(b"x" * 10)
    logs.halve(log, most=10)
    assert log.read_bytes() == b"x" * 10
    assert not log.with_suffix(".log.1").exists()
