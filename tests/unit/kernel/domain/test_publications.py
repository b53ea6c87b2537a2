"""Publications: values that compare by what they carry."""

from __future__ import annotations

import pytest

from services.kernel.domain.publications import Kind, Publication


def make(**changes):
    fields = {"epoch": "e", "offset": 1, "data": b"1", "meta": b'"ts":1'}
    return Publication(**{**fields, **changes})


def test_a_publication_is_json_from_nobody_pending_unless_said_otherwise():
    publication = make()
    assert (publication.kind, publication.token, publication.frames) == (Kind.JSON, "", {})


def test_what_codecs_cached_makes_no_difference():
    other = make()
    other.frames["json"] = b"{}"
    assert make() == other


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "f"},
        {"offset": 2},
        {"data": b"2"},
        {"meta": b""},
        {"kind": Kind.BINARY},
        {"token": "c.1"},
    ],
)
def test_each_thing_carried_makes_a_difference(change):
    assert make() != make(**change)


def test_a_publication_equals_nothing_else_and_is_no_key():
    assert make() != (1, 2)
    with pytest.raises(TypeError):
        hash(make())


def test_its_repr_names_its_place_and_not_its_data():
    assert repr(make(data=b"secret")) == "Publication(e:1, 6 bytes)"
