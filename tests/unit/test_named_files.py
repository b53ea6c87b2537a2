"""Pages that lead through the code name files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ROOT / "services"
PAGES = [ROOT / "docs" / "architecture.md", ROOT / "docs" / "reference" / "glossary.md"]
PAGES += sorted(SERVICES.rglob("README.md"))
FILE = re.compile(r"`([a-z0-9_/]+\.(?:py|lua))`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page):
    names = set(FILE.findall(page.read_text("utf-8")))
    places = (page.parent, SERVICES, SERVICES / "kernel", ROOT)
    inside = {file.name for file in page.parent.rglob("*.*")} if page.name == "README.md" else set()
    missing = {name for name in names - inside if not any((at / name).is_file() for at in places)}
    assert missing == set()


def test_every_term_of_the_glossary_has_a_meaning_and_a_file():
    page = (ROOT / "docs" / "reference" / "glossary.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("| ") and not line.startswith("| term ")
    ]
    assert len(rows) > 50
    for term, _, meaning, file in rows:
        assert term, rows
        assert meaning, term
        assert FILE.fullmatch(file), term
    assert len({term for term, *_ in rows}) == len(rows)


def test_the_index_of_decisions_lists_each_page_by_its_title():
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text("utf-8")
    for page in sorted(folder.glob("0*.md")):
        number, _, title = (
            page.read_text("utf-8").splitlines()[0].removeprefix("# ").partition(". ")
        )
        assert f"| {number} | [{title}]({page.name}) |" in index
