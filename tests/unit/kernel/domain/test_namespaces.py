"""Namespaces: what the file may say, and the one line that names what to change."""

from __future__ import annotations

import pytest

from services.kernel.domain import namespaces
from services.kernel.domain.codes import Code
from services.kernel.domain.namespaces import Access, Conflate, Namespace, NamespacesError, Slow
from tests.support.refusals import refused


def test_a_namespace_without_options_has_the_defaults():
    parsed = namespaces.parse({"namespaces": {"room": {}}})
    assert list(parsed) == [Namespace(name="room")]
    assert parsed.subscribe_on_connect == ()


def test_every_kind_of_option_is_read():
    options = {
        "history_size": 5,
        "history_bytes": 70_000,
        "history_ttl": 60.0,
        "presence": True,
        "publish": "members",
        "slow": "latest",
        "conflate": "key",
        "publish_rate": 2.5,
        "schema": {"type": "object"},
    }
    room = namespaces.parse({"namespaces": {"room": options}}).of("room:lobby")
    assert (room.history_size, room.history_ttl, room.presence) == (5, 60, True)
    assert isinstance(room.history_ttl, int)
    assert room.history_bytes == 70_000
    assert (room.publish, room.slow, room.publish_rate) == (Access.MEMBERS, Slow.LATEST, 2.5)
    assert room.conflate is Conflate.KEY
    assert room.schema == {"type": "object"}


def test_an_unknown_namespace_is_refused_naming_the_known():
    parsed = namespaces.parse({"namespaces": {"room": {}, "live": {}}})
    with refused(Code.UNKNOWN_NAMESPACE, "no namespace 'rom' here; known: live, room"):
        parsed.of("rom:x")


def test_what_is_remembered_of_channels_is_bounded_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(namespaces, "_MET", 2)
    parsed = namespaces.parse({"namespaces": {"room": {}, "feed": {}}})
    for _ in range(2):
        for channel in ("room:1", "feed:1", "room:2"):
            assert parsed.of(channel).name == channel.partition(":")[0]
            assert parsed.of(channel) is parsed.of(channel)
            assert len(parsed._met) <= 2


def test_a_malformed_channel_is_a_bad_request():
    with refused(Code.BAD_REQUEST, "namespace:name"):
        namespaces.parse({"namespaces": {"room": {}}}).of("room")


def test_what_every_connection_gets_depends_on_whose_it_is():
    parsed = namespaces.parse(
        {
            "namespaces": {"user": {}, "public": {}},
            "subscribe_on_connect": ["user:<sub>", "public:all"],
        }
    )
    assert parsed.on_connect("bob") == ["user:bob", "public:all"]
    assert parsed.on_connect(None) == ["public:all"]


def document(**options):
    return {"namespaces": {"room": options}}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({}, "no \\[namespaces.NAME\\] table"),
        ({"namespaces": []}, "no \\[namespaces.NAME\\] table"),
        ({"namespaces": {}}, "no \\[namespaces.NAME\\] table"),
        ({"namespaces": {"a": {}}, "extra": 1}, "unknown setting 'extra'"),
        ({"namespaces": {"A": {}}}, "namespace 'A': a name is"),
        ({"namespaces": {"a": 5}}, "'a' must be a table"),
        ({"namespaces": {"a": {}}, "subscribe_on_connect": "a:x"}, "must be a list"),
        ({"namespaces": {"a": {}}, "subscribe_on_connect": [5]}, "5: channel must be a string"),
        ({"namespaces": {"a": {}}, "subscribe_on_connect": ["b:x"]}, r"define \[namespaces.b\]"),
        (document(colour=1), "option 'colour': unknown; known: history_size"),
        (document(name="x"), "option 'name': unknown"),
        (document(presence=1), "'presence': must be true or false"),
        (document(publish="all"), "'publish': must be one of anyone"),
        (document(slow=["latest"]), "'slow': must be one of disconnect"),
        (document(conflate=True), "'conflate': must be one of off, key"),
        (document(schema="x"), "'schema': must be a JSON Schema"),
        (document(history_size=0), "must be a number from 1 to 1000000"),
        (document(history_size=True), "must be a number"),
        (document(history_bytes=65_535), "'history_bytes': must be at least message_bytes, 65536"),
        (
            document(publish_rate=10, publish_burst=9),
            "publish_burst = 9 is below publish_rate = 10",
        ),
        (document(window_ms="5"), "must be a number from 0 to 1000"),
        (document(publish_rate=float("nan")), "must be a number"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(wrong, reason):
    with pytest.raises(NamespacesError, match=reason) as caught:
        namespaces.parse(wrong)
    assert "\n" not in str(caught.value)
