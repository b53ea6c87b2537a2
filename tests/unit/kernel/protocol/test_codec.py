"""The codec port: every codec has all of it."""

from __future__ import annotations

import inspect

import pytest

from services.kernel.protocol import json_codec, msgpack_codec, plain
from services.kernel.protocol.codec import Codec, Json

CODECS = [
    json_codec.CODEC,
    msgpack_codec.CODEC,
    plain.RoomCodec("room:x"),
    plain.NotifyCodec(),
]
METHODS = [name for name, _ in inspect.getmembers(Codec, inspect.isfunction) if name[0] != "_"]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
@pytest.mark.parametrize("method", METHODS)
def test_each_codec_takes_the_same_arguments(codec, method):
    ours = inspect.signature(getattr(type(codec), method)).parameters
    assert list(ours) == list(inspect.signature(getattr(Codec, method)).parameters)


def test_no_two_codecs_share_a_place_in_the_cache():
    assert len({codec.name for codec in CODECS}) == len(CODECS)


def test_json_text_stands_for_a_value():
    assert Json(b"{}").text == b"{}"
