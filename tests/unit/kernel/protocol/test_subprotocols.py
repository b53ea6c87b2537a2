"""Which encoding a client's offer means."""

from __future__ import annotations

import pytest

from services.kernel.protocol import json_codec, msgpack_codec, subprotocols

JSON, MSGPACK = "openline.json.v1", "openline.msgpack.v1"


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        ([], (None, json_codec.CODEC)),
        ([""], (None, json_codec.CODEC)),
        (["chat"], (None, json_codec.CODEC)),
        ([JSON], (JSON, json_codec.CODEC)),
        ([MSGPACK], (MSGPACK, msgpack_codec.CODEC)),
        (["chat", MSGPACK, JSON], (MSGPACK, msgpack_codec.CODEC)),
        ([JSON, MSGPACK], (JSON, json_codec.CODEC)),
    ],
)
def test_the_first_known_offer_counts_and_none_means_json(offered, answer):
    assert subprotocols.choose(offered) == answer
