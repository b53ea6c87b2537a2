"""Entries: what the scripts write is what is read."""

from __future__ import annotations

from services.kernel.broker.port import Entry, EntryType
from services.kernel.broker.redis.entries import entry, number, publications
from services.kernel.domain.publications import Kind, Publication


def test_ids_are_sequences():
    assert number(b"0-18446744073709551615") == 2**64 - 1


def test_a_message_is_read():
    fields = [b"h", b"m room:a Epoch 7 2 c1.4", b"d", b"data with\x00 spaces", b"m", b'"ts":1']
    assert entry(b"0-9", fields) == Entry(
        9,
        EntryType.MESSAGE,
        "room:a",
        Publication(
            epoch="Epoch",
            offset=7,
            data=b"data with\x00 spaces",
            meta=b'"ts":1',
            kind=Kind.MSGPACK,
            token="c1.4",
        ),
    )


def test_an_ephemeral_message_may_have_no_epoch():
    found = entry(b"0-1", [b"h", b"e room:a  0 0 ", b"d", b"1", b"m", b""])
    assert found.publication == Publication(epoch="", offset=0, data=b"1", meta=b"")


def test_signals_carry_a_fragment():
    assert entry(b"0-1", [b"h", b"b", b"d", b'"at":1']) == Entry(
        1, EntryType.BEAT, "", None, b'"at":1'
    )
    assert entry(b"0-2", [b"h", b"j room:a", b"d", b"x"]).channel == "room:a"


def test_an_entry_of_another_version_is_passed_over():
    assert entry(b"0-3", [b"h", b"z room:a x", b"q", b"?"]) == Entry(3, EntryType.UNKNOWN)


def test_a_page_of_a_log_is_of_the_heads_epoch():
    (found,) = publications("E", [(b"12-0", [b"h", b"1 ", b"d", b"\xff", b"m", b""])])
    assert found == Publication(epoch="E", offset=12, data=b"\xff", meta=b"", kind=Kind.BINARY)
