"""Which publications supersede one another."""

from __future__ import annotations

import json

import pytest

from services.gateway.fanout.conflation import conflate, key_of
from services.kernel.broker.drafts import compose
from services.kernel.domain.namespaces import Namespace
from services.kernel.domain.publications import Publication

LIVE = Namespace(name="live")


def publication(conflate_key=None, *, offset=1, **options):
    draft = compose(LIVE, "live:a", data=b"1", ts_ms=1, conflate_key=conflate_key, **options)
    return Publication(epoch="e", offset=offset, data=b"1", meta=draft.meta)


@pytest.mark.parametrize("key", ["a", "ü €", 'a"b', 'a"', '"', "\\", 'a","ts":1', "a','"])
@pytest.mark.parametrize("more", [{}, {"http": True}, {"key": "k", "tags": {"t": "x"}}])
def test_a_key_is_found_whatever_stands_in_it(key, more):
    found = key_of(publication(key, **more))
    assert found is not None
    assert json.loads(b'"%b"' % found) == key


def test_keys_that_begin_alike_are_not_one():
    assert key_of(publication('a"b')) != key_of(publication('a"c'))


@pytest.mark.parametrize(
    "more", [{"tags": {"conflate_key": "x"}}, {"sender": "conflate_key"}, {"key": "conflate_key"}]
)
def test_what_only_looks_like_a_key_is_none(more):
    assert key_of(publication(**more)) is None


def shown(*publications):
    return [(one.offset, one.meta.partition(b'"skipped":')[2]) for one in conflate(publications)]


def test_the_newest_of_a_key_says_how_many_were_left_out_before_it():
    rows = [publication(key, offset=at) for at, key in enumerate("aabab", 1)]
    assert shown(*rows) == [(4, b"3"), (5, b"")]
    assert b"skipped" not in b"".join(row.meta for row in rows), (
        "the history has what was published"
    )


def test_what_has_no_key_is_left_out_by_nothing():
    rows = [publication(key, offset=at) for at, key in enumerate(["a", None, None, "a"], 1)]
    assert shown(*rows) == [(2, b"1"), (3, b""), (4, b"")]


def test_ephemeral_ones_are_all_kept_and_cover_no_gap():
    rows = [publication("a", offset=at) for at in (1, 0, 0, 2)]
    assert shown(*rows) == [(0, b""), (0, b""), (2, b"1")]
