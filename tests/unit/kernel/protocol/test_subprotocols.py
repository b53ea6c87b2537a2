"""Which encoding a client's offer means."""

from __future__ import annotations

import pytest

from services.kernel.domain.codes import Code
from services.kernel.protocol import json_codec, msgpack_codec, subprotocols
from tests.support.refusals import refused

JSON, MSGPACK = "openline.json.v1", "openline.msgpack.v1"


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        ([], (None, json_codec.CODEC)),
        ([""], (None, json_codec.CODEC)),
        ([JSON], (JSON, json_codec.CODEC)),
        ([MSGPACK], (MSGPACK, msgpack_codec.CODEC)),
        (["chat", MSGPACK, JSON], (MSGPACK, msgpack_codec.CODEC)),
        ([JSON, MSGPACK], (JSON, json_codec.CODEC)),
    ],
)
def test_the_first_known_offer_counts_and_none_means_json(offered, answer):
    assert subprotocols.choose(offered) == answer


def test_an_offer_of_others_alone_is_refused_with_those_that_are_known():
    with refused(Code.BAD_REQUEST) as caught:
        subprotocols.choose(["chat", "eyJ.secret.x"])
    assert f"{JSON} or {MSGPACK}" in caught.value.message
    assert "secret" not in caught.value.message


def test_plain_routes_know_json_alone():
    assert subprotocols.choose([MSGPACK, JSON], subprotocols.PLAIN) == (JSON, json_codec.CODEC)
    with refused(Code.BAD_REQUEST):
        subprotocols.choose([MSGPACK], subprotocols.PLAIN)


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        ([], None),
        ([""], None),
        (["chat", "other"], "chat"),
        (["chat", MSGPACK], MSGPACK),
        (["a b", "ü", "chat"], "chat"),
        (["x" * 4097], None),
    ],
)
def test_a_refused_client_is_named_one_of_its_offer(offered, answer):
    assert subprotocols.named(offered) == answer
