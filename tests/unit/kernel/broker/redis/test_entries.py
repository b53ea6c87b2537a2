"""Entries: what the scripts write is what is read."""

from __future__ import annotations

from services.kernel.broker.port import Entry, EntryType
from services.kernel.broker.redis.entries import (
    RawBatch,
    contiguous,
    entry,
    number,
    publications,
)
from services.kernel.domain.publications import Kind, Publication


def test_ids_are_sequences():
    assert number(b"0-18446744073709551615") == 2**64 - 1


def test_a_message_is_read():
    fields = [b"h", b"m room:a Epoch 7 2 c1.4", b"d", b"data with\x00 spaces", b"m", b'"ts":1']
    assert entry(9, fields) == Entry(
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
    found = entry(1, [b"h", b"e room:a  0 0 ", b"d", b"1", b"m", b""])
    assert found.publication == Publication(epoch="", offset=0, data=b"1", meta=b"")


def test_signals_carry_a_fragment():
    assert entry(1, [b"h", b"b", b"d", b'"at":1']) == Entry(1, EntryType.BEAT, "", None, b'"at":1')
    assert entry(2, [b"h", b"j room:a", b"d", b"x"]).channel == "room:a"


def test_an_entry_of_another_version_is_passed_over():
    assert entry(3, [b"h", b"z room:a x", b"q", b"?"]) == Entry(3, EntryType.UNKNOWN)


def test_a_page_of_a_log_is_of_the_heads_epoch():
    (found,) = publications("E", [(b"12-0", [b"h", b"1 ", b"d", b"\xff", b"m", b""])])
    assert found == Publication(epoch="E", offset=12, data=b"\xff", meta=b"", kind=Kind.BINARY)


def raw(number, header, *rest):
    return (b"0-%d" % number, [b"h", header, *rest])


MESSAGES = [
    raw(7, b"m room:a E 1 0 ", b"d", b"1", b"m", b""),
    raw(8, b"this is no entry"),
    raw(9, b"b", b"d", b"1"),
    raw(10, b"z room:b x"),
]


def test_what_nobody_wants_is_not_decoded():
    batch = RawBatch(6, 10, MESSAGES)
    assert [entry.id for entry in batch.wanted({"room:a"})] == [7, 9]
    assert [entry.id for entry in batch.wanted(set())] == [9]
    assert (len(batch), batch.after, batch.to, batch[2].type) == (4, 6, 10, EntryType.BEAT)


def test_a_channel_that_is_known_meanwhile_gets_its_entry_whole():
    known = set()
    wanted = RawBatch(6, 10, MESSAGES[:1] + MESSAGES[2:]).wanted(known)
    known.add("room:a")
    assert next(wanted).publication.data == b"1"
    known.add("room:b")
    assert [entry.type for entry in wanted] == [EntryType.BEAT, EntryType.UNKNOWN]


def test_a_reply_counts_up_to_where_an_id_is_missing():
    assert contiguous(MESSAGES) is MESSAGES
    assert contiguous([MESSAGES[0], *MESSAGES[2:]]) == MESSAGES[:1]
