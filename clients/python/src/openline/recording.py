"""What publishers would have sent, for tests without a server: checked as they check it, and kept."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from openline.calls import OCTETS, Answer, Call
from openline.types import Draft, Position

_EPOCH = "recorded"


class Recording:
    """`recording["room:x"]` lists what was published there: drafts, oldest first; empty when nothing was.

    It answers as the server does: offsets count up in each channel, the same key again is a duplicate and not listed
    twice, `expect` is compared. What it cannot answer (histories, presence) is refused.
    """

    def __init__(self) -> None:
        self._drafts: dict[str, list[Draft]] = defaultdict(list)
        self._offsets: dict[str, int] = {}
        self._keys: dict[tuple[str, str], int] = {}

    def __getitem__(self, channel: str) -> list[Draft]:
        """What was published in the channel."""
        return list(self._drafts.get(channel, ()))

    def __len__(self) -> int:
        return sum(map(len, self._drafts.values()))

    @property
    def channels(self) -> list[str]:
        """The channels in which something was published."""
        return sorted(self._drafts)

    def clear(self) -> None:
        """Forget what was published. Offsets and keys go on."""
        self._drafts.clear()

    def answer(self, call: Call) -> Answer:
        """What the server would answer."""
        path = urlsplit(call.path).path
        if path == "/auth/token":
            return _answer(200, {"access_token": "recorded", "expires_in": 3600})
        if path in ("/v1/messages", "/v1/broadcast"):
            return _answer(200, {"results": [self._keep(one) for one in _messages(path, call)]})
        parts = path.split("/")
        if len(parts) == 5 and parts[4] == "messages" and call.method == "POST":  # noqa: PLR2004 - /v1/channels/NAME/messages
            channel = unquote(parts[3])
            kept = self._keep(
                _octets(channel, call) if call.content_type == OCTETS else _one(channel, call)
            )
            return _answer(kept["status"], kept)
        problem = f"`published` records publishing alone, not {call.method} {path}; take the fixture `openline`"
        return _answer(403, {"code": "forbidden", "detail": problem})

    def _keep(self, draft: Draft) -> dict[str, Any]:
        channel, key = draft.channel, draft.key or ""
        known = self._keys.get((channel, key)) if key else None
        if known is not None:
            return _published(channel, known, duplicate=True)
        offset = self._offsets.get(channel, 0)
        if draft.expect is not None and draft.expect != Position(_EPOCH, offset):
            position = {"epoch": _EPOCH, "offset": offset}
            detail = f"{channel} is at offset {offset}"
            return {
                "status": 409,
                "code": "conflict",
                "message": detail,
                "detail": detail,
                "position": position,
            }
        self._drafts[channel].append(draft)
        if not draft.ephemeral:
            self._offsets[channel] = offset = offset + 1
        self._keys[channel, key] = 0 if draft.ephemeral else offset
        return _published(channel, self._keys[channel, key], duplicate=False)


def _published(channel: str, offset: int, *, duplicate: bool) -> dict[str, Any]:
    return {
        "status": 201,
        "channel": channel,
        "epoch": _EPOCH,
        "offset": offset,
        "duplicate": duplicate,
        "subscribers": 0,
    }


def _messages(path: str, call: Call) -> list[Draft]:
    content = json.loads(call.body)
    if path == "/v1/messages":
        return [_draft(one["channel"], one) for one in content["messages"]]
    return [_draft(channel, content) for channel in content["channels"]]


def _one(channel: str, call: Call) -> Draft:
    return _draft(channel, json.loads(call.body))


def _octets(channel: str, call: Call) -> Draft:
    query = parse_qs(urlsplit(call.path).query)
    (conflate_key,) = query.get("conflate_key", [None])
    return Draft(
        channel,
        call.body,
        query["key"][0],
        ephemeral="ephemeral" in query,
        conflate_key=conflate_key,
    )


def _draft(channel: str, content: Mapping[str, Any]) -> Draft:
    expect = content.get("expect")
    return Draft(
        channel,
        content["data"],
        content.get("key"),
        content.get("tags"),
        ephemeral=content.get("ephemeral", False),
        expect=Position(**expect) if expect else None,
        conflate_key=content.get("conflate_key"),
    )


def _answer(status: int, content: Mapping[str, Any]) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(content).encode())
