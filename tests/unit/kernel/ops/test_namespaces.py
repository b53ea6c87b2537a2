"""Reading the namespaces file."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.kernel.ops import namespaces


def test_the_shipped_file_is_valid():
    names = {namespace.name for namespace in namespaces.load(Path("deploy/namespaces.toml"))}
    assert {"room", "notify", "user", "live", "public"} <= names


@pytest.mark.parametrize(
    "content", [None, b"[namespaces", b"\xff", b"x = 1", b"[namespaces.room]\nhistory = 5\n"]
)
def test_a_file_that_cannot_be_used_ends_the_start_with_one_line(tmp_path, capsys, content):
    path = tmp_path / "namespaces.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        namespaces.load(path)
    line = capsys.readouterr().err
    assert ended.value.code == 2
    assert line.count("\n") == 1
    assert line.startswith(f"OPENLINE_NAMESPACES={path}: ")
