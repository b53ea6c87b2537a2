"""Each code that a client may meet has a line in the docs that says what to do."""

from __future__ import annotations

import re
from pathlib import Path

from services.kernel.domain.codes import Close, Code

PAGE = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text("utf-8")
FIRST_CELLS = re.findall(r"^\| ([^|]+) \|", PAGE, re.MULTILINE)


def test_each_error_code_has_a_line() -> None:
    assert {code.value for code in Code} <= {cell.strip("`") for cell in FIRST_CELLS}


def test_each_close_code_has_a_line() -> None:
    listed = {int(number) for cell in FIRST_CELLS for number in re.findall(r"\b\d{4}\b", cell)}
    assert {int(code) for code in Close} <= listed
