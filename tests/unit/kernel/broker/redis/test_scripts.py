"""Scripts: whole, documented, each called from one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.kernel.broker import ttls
from services.kernel.broker.redis import log_calls, scripts, seals
from services.kernel.tokens.seal_redis import GUARD

FOLDER = Path(scripts.__file__).parent
EVERY = scripts.everything()


def names(script: scripts.Script) -> str:
    return script.name


def test_every_file_is_a_script_or_included():
    files = {path.stem for path in (FOLDER / "lua").glob("*.lua")}
    included = set(re.findall(r"--include (\w+)", "".join(_text(name) for name in files)))
    assert {script.name for script in EVERY} == files - included


@pytest.mark.parametrize("script", EVERY, ids=names)
def test_a_script_says_what_it_is_given(script):
    text = _text(script.name)
    assert text.startswith("#!lua")
    assert "\n-- KEYS: " in text
    assert "\n-- ARGV: " in text
    assert "\n-- Returns " in text


@pytest.mark.parametrize("script", EVERY, ids=names)
def test_a_script_has_one_caller(script):
    call = re.compile(rf'run\(\s*"{script.name}"')
    sources = (path.read_text("utf-8") for path in FOLDER.glob("*.py"))
    assert sum(len(call.findall(source)) for source in sources) == 1


@pytest.mark.parametrize("script", EVERY, ids=names)
def test_a_script_is_complete(script):
    assert b"--include" not in script.source
    assert script.source.startswith(b"#!lua")
    assert re.fullmatch(rb"[0-9a-f]{40}", script.sha)


@pytest.mark.parametrize("script", EVERY, ids=names)
def test_a_script_that_writes_to_the_bus_is_fenced(script):
    """Each writing script compares the history record, but for those that touch neither bus nor logs."""
    text = script.source.decode()
    if "'XADD'" in text:
        calls = ("fence(KEYS[1]", "settled(KEYS[1])", "fence(record, ")
        assert any(call in text for call in calls)


_HARMLESS = {
    "break_seal": "ends the seal",
    "unseal": "ends the seal",
    "resign": "a lease that was to end ends by itself",
    "spend": "a bucket fills again",
}
"""Scripts that write although a partition is sealed, and why what they write may be missing on the server that is next."""


@pytest.mark.parametrize("script", EVERY, ids=names)
def test_a_script_that_writes_is_refused_while_its_partition_is_sealed(script):
    text = script.source.decode()
    if "no-writes" not in text.splitlines()[0] and script.name not in _HARMLESS:
        if "settled(KEYS[1])" in text:  # nothing is sealed then
            return
        fenced = ("fence(KEYS[1], ", "fence(record, ")
        assert any(call in text for call in fenced) or "if stands(" in _text(script.name)
        refusals = ("return refused(KEYS[1])", "return refused(record)", "return sealed(KEYS[1])")
        assert any(refusal in _text(script.name) for refusal in refusals)


def test_a_seal_stands_as_long_for_the_scripts_as_for_who_makes_it():
    longest = f"{seals.LONGEST * 1000:.0f}"
    assert f"local LONGEST_SEAL = {longest}\n" in _text("sealed")
    assert f"left <= {longest} then" in GUARD


def test_a_script_and_the_adapters_agree_how_long_an_unpublished_head_lives():
    assert f"local UNPUBLISHED_TTL = {ttls.UNPUBLISHED_TTL}\n" in _text("head")


def test_what_counts_by_itself_is_left_to_the_script_that_counts():
    assert f"local SMALL = {log_calls.SMALL}\n" in _text("publish")


def _text(name: str) -> str:
    return (FOLDER / "lua" / f"{name}.lua").read_text("utf-8")
