"""Files that hold secrets."""

from __future__ import annotations

import json

from deploy.local import private


def test_only_this_user_may_read_it_also_where_there_was_one_that_all_could(tmp_path):
    path = tmp_path / "folder" / "secret"
    path.parent.mkdir()
    path.write_text("open to all")
    path.chmod(0o644)
    assert private.write(path, "sesame") == path
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("sesame", 0o600)
    private.write_json(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]
