"""Why bytes are no JSON: what they are is named where the decoder only says where it stopped."""

from __future__ import annotations

import msgspec
import pytest

from services.kernel.domain.unreadable import reason


def why(raw):
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)) as caught:
        msgspec.json.decode(raw)
    return reason(raw, caught.value)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
        ('{"a":1}'.encode("utf-16"), "UTF-16"),
        (b"NaN", "NaN and Infinity"),
        (b'{"a":[1,NaN]}', "NaN and Infinity"),
        (b'{"a":-Infinity}', "NaN and Infinity"),
        (rb'{"text":"\ud83d"}', "half of a surrogate pair"),
        (rb'["a\uDE00b"]', "half of a surrogate pair"),
        (rb'["\ud83d\u0041 and so on and on"]', "half of a surrogate pair"),
        (rb'["\ud83dabc and so on and on"]', "half of a surrogate pair"),
        (b'["\xed\xa0\xbd"]', "half of a surrogate pair"),
        (b'["\xff"]', "not UTF-8 (byte 0xff"),
        (b'{"a"', "truncated"),
        (b'"NaN" x', "byte 7"),
    ],
)
def test_the_reason_says_what_it_is(raw, words):
    assert words in why(raw)
