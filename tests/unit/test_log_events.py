"""Log events of the services: one style of name, and a table of them that is true."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LOGS = {"log", "_log", "logger"}
CALL = re.compile(rf"\b(?:{'|'.join(LOGS)})\b")
STYLE = re.compile(r"[a-z]+(_[a-z]+)*_(?:[a-z]+ed|lost)")


@functools.cache
def calls() -> list[tuple[str, str, ast.expr]]:
    """File with line, level and first argument of each log call in services."""
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node.func.attr, node.args[0])
        for path in sorted((ROOT / "services").rglob("*.py"))
        if CALL.search(text := path.read_text("utf-8"))  # parsing all would take a second
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LEVELS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in LOGS
    ]


def test_every_event_is_a_literal_of_a_noun_and_a_verb_in_the_past():
    assert len(calls()) > 30
    for place, _, event in calls():
        assert isinstance(event, ast.Constant), place
        assert STYLE.fullmatch(event.value), f"{place}: {event.value}"


def test_the_table_of_events_in_observability_is_complete_and_true():
    page = (ROOT / "docs" / "observability.md").read_text("utf-8")
    table = set(re.findall(r"^\| `([a-z_]+)` \| ([a-z]+) \| \S", page, re.MULTILINE))
    assert table == {
        (event.value, "error" if level == "exception" else level)
        for _, level, event in calls()
        if isinstance(event, ast.Constant) and level != "debug"
    }
