"""What one client's account writes into the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from loadtest.bench.frames import TEXT
from loadtest.swarm import audit as module
from loadtest.swarm.audit import Audit
from loadtest.swarm.chunks import Chunk, Other, Run


class Book:
    """Keeps what a ledger would have written."""

    def __init__(self) -> None:
        self.late: list[tuple[str, str, list[int]]] = []
        self.events: list[tuple[str, str | None]] = []

    def delivered(self, kind: str, name: str, *, stamps: Iterable[int], now: int) -> None:
        self.late.append((kind, name, [now - stamp for stamp in stamps]))

    def counted(self, kind: str, name: str, *, count: int) -> None:
        self.late.append((kind, name, [0] * count))

    def event(self, kind: str, name: str, *, error: str | None = None) -> None:
        self.events.append((kind, error))


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def audit(book: Book, monkeypatch: pytest.MonkeyPatch) -> Audit:
    monkeypatch.setattr(module, "now", lambda: 1000)
    made = Audit(book, kind="WS", name="room")
    made.connected()
    made.subscribed({"channel": "room:a", "epoch": "e", "offset": 4})
    monkeypatch.setattr(module, "now", lambda: 1500)
    return made


def take(audit: Audit, *items: Run | Other, stamps: tuple[int, ...] = ()) -> None:
    audit.took(
        Chunk(items, stamps, b""), other=lambda other: audit.reset(json.loads(other.content))
    )


def test_latency_is_from_publish_to_now(audit: Audit, book: Book) -> None:
    take(audit, Run("room:a", 5, 2), stamps=(1200, 1300))
    assert book.late == [("WS deliver", "room", [300, 200])]
    assert book.events == []
    assert audit.received == 2


def test_what_was_missed_while_away_is_a_row_of_its_own(audit: Audit, book: Book) -> None:
    take(audit, Run("room:a", 5, 2), stamps=(900, 1300))
    assert book.late == [("WS recover", "room", [600]), ("WS deliver", "room", [200])]


def test_each_missing_or_repeated_message_is_an_event(audit: Audit, book: Book) -> None:
    take(audit, Run("room:a", 7, 1), Run("room:a", 7, 1))
    assert book.events == [("WS gap", "missing on room:a")] * 2 + [
        ("WS repeat", "repeated on room:a")
    ]


def test_a_reset_counts_in_its_place(audit: Audit, book: Book) -> None:
    reset = {"type": "reset", "channel": "room:a", "epoch": "f", "offset": 90, "reason": "lost"}
    other = Other(TEXT, json.dumps(reset).encode())
    take(audit, Run("room:a", 5, 1), other, Run("room:a", 91, 1))
    assert book.events == [("WS flagged", "reset: lost")]


def test_what_could_not_be_recovered_is_flagged_not_missing(audit: Audit, book: Book) -> None:
    audit.subscribed({"channel": "room:a", "epoch": "e", "offset": 40, "recovered": False})
    take(audit, Run("room:a", 41, 1))
    assert book.events == [("WS flagged", "recovered: false")]


def test_a_recovery_that_begins_too_late_is_a_gap(audit: Audit, book: Book) -> None:
    audit.subscribed({"channel": "room:a", "epoch": "e", "offset": 5, "recovered": True})
    assert book.events == [("WS gap", "missing on room:a")]


def test_what_was_skipped_is_counted(audit: Audit, book: Book) -> None:
    take(audit, Run("room:a", 8, 1, 3))
    assert book.late == [("WS skipped", "room", [0, 0, 0])]
    assert book.events == []
