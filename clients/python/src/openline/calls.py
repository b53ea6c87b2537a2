"""The HTTP calls of a back end, without I/O: what to send, and what an answer means.

The calls are those of the OpenAPI documents of publisher and auth; refusals are problem documents (RFC 9457), those of
`/auth/token` errors of OAuth (RFC 6749 section 5.2).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from openline.errors import InvalidData, OpenlineError, Unauthorized
from openline.grammar import check_bearer, check_channel, check_user
from openline.types import (
    Audience,
    ChannelPage,
    Draft,
    History,
    Member,
    Message,
    Position,
    PresencePage,
    Published,
)
from openline.validators import to_plain

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
OCTETS = "application/octet-stream"

TEMPORARY = frozenset({429, 502, 503, 504})
"""Statuses after which the same call may succeed."""

MAX_KEY = 128
MAX_TAGS, MAX_TAG_NAME, MAX_TAG = 16, 64, 256

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "unknown_namespace",
    409: "conflict",
    413: "too_large",
    422: "invalid_data",
    429: "rate_limited",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
}
"""What a status means that came without a problem document: from a proxy on the way."""


_CODES_OF_A_CLIENT = frozenset({"unauthorized", "forbidden"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `authorized`: it takes our access token; others bring `login`, a client's id and secret."""

    method: str
    path: str
    body: bytes = field(default=b"", repr=False)
    content_type: str = JSON
    login: tuple[str, str] | None = field(default=None, repr=False)
    bearer: str | None = field(default=None, repr=False)

    @property
    def authorized(self) -> bool:
        """Whether the call takes the publisher's own access token."""
        return self.login is None and self.bearer is None

    def headers(self, token: str = "") -> dict[str, str]:
        """The request's headers; `token` is our access token, where the call takes it."""
        found = {"Content-Type": self.content_type} if self.body else {}
        if self.login is not None:
            # RFC 6749 section 2.3.1: both parts are encoded as in a form before they are joined.
            pair = ":".join(quote(part, safe="") for part in self.login)
            found["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            found["Authorization"] = f"Bearer {self.bearer or token}"
        return found


class Answer(NamedTuple):
    """What came back. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


# ---------------------------------------------------------------------------------------------------------- publishing


class Item(NamedTuple):
    """A draft that has been checked and has a key. `body` is the JSON object of a publish, without the channel.

    With `octets` it is the data alone, and what else there is stands beside it.
    """

    channel: str
    body: bytes
    key: str
    octets: bool = False
    ephemeral: bool = False
    conflate_key: str | None = None

    @property
    def size(self) -> int:
        """Bytes in a batch."""
        return len(self.body) + len(self.channel) + len(',"channel":""')


def item(draft: Draft, *, key: str) -> Item:
    """The draft as it is sent; `key` counts when it has none. Raises OpenlineError (`bad_request`, `invalid_data`)."""
    channel = check_channel(draft.channel)
    key = _checked_key(key if draft.key is None else draft.key)
    conflate_key = draft.conflate_key
    if conflate_key is not None:
        _checked_key(conflate_key, "conflate_key")
    if isinstance(draft.data, (bytes, bytearray, memoryview)):
        if draft.tags or draft.expect:
            raise _bad("bytes are published without tags and expect; publish JSON to have them")
        return Item(
            channel,
            bytes(draft.data),
            key,
            octets=True,
            ephemeral=draft.ephemeral,
            conflate_key=conflate_key,
        )
    fields: dict[str, Any] = {"data": draft.data, "key": key}
    if conflate_key is not None:
        fields["conflate_key"] = conflate_key
    if draft.tags:
        fields["tags"] = _checked_tags(draft.tags)
    if draft.ephemeral:
        fields["ephemeral"] = True
    if draft.expect is not None:
        epoch, offset = draft.expect
        fields["expect"] = {"epoch": epoch, "offset": offset}
    return Item(channel, encode(fields), key)


def plain(draft: Draft) -> Any:
    """The draft's data as plain JSON values, to be kept until it is sent. Raises what `item` does."""
    if isinstance(draft.data, (bytes, bytearray, memoryview)):
        raise InvalidData("an outbox holds JSON; publish bytes directly")
    return json.loads(item(draft, key="-").body)["data"]


def publish(items: Sequence[Item]) -> Call:
    """Publish these messages, in this order. Bytes go alone."""
    if len(items) == 1:
        return _publish_one(items[0])
    return Call("POST", "/v1/messages", b'{"messages":[%b]}' % b",".join(map(_in_batch, items)))


def broadcast(items: Sequence[Item]) -> Call:
    """Publish one message in many channels: `items` differ in nothing but their channels."""
    channels = json.dumps([item.channel for item in items]).encode()
    return Call("POST", "/v1/broadcast", b'{"channels":%b,%b' % (channels, items[0].body[1:]))


def results(answer: Answer, items: Sequence[Item]) -> list[Published | OpenlineError]:
    """What became of each message. Raises OpenlineError when the call was refused as a whole."""
    content = read(answer)
    if "results" not in content:
        return [_published(content)]
    found = content["results"]
    if not isinstance(found, list) or len(found) != len(items):
        raise _strange(answer)
    return [_result(one) for one in found]


def _publish_one(one: Item) -> Call:
    path = f"/v1/channels/{_quoted(one.channel)}/messages"
    if not one.octets:
        return Call("POST", path, one.body)
    query = {"key": one.key}
    if one.conflate_key is not None:
        query["conflate_key"] = one.conflate_key
    if one.ephemeral:
        query["ephemeral"] = "true"
    return Call("POST", f"{path}?{urlencode(query)}", one.body, OCTETS)


def _in_batch(one: Item) -> bytes:
    # The grammar of channels has no character that JSON would escape.
    return b'{"channel":"%b",%b' % (one.channel.encode(), one.body[1:])


def _result(content: Mapping[str, Any]) -> Published | OpenlineError:
    status = content["status"]
    if status < 300:  # noqa: PLR2004 - HTTP's own
        return _published(content)
    return _error(status, content.get("message", ""), content)


def _published(content: Mapping[str, Any]) -> Published:
    return Published(
        channel=content["channel"],
        epoch=content.get("epoch"),
        offset=content.get("offset"),
        duplicate=content.get("duplicate", False),
        subscribers=content.get("subscribers"),
    )


def notification(topic: str, fields: Mapping[str, Any], *, now: float) -> Draft:
    """A notification as `/notify/{topic}` would make it; `now` in seconds since 1970."""
    stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    added = {"type": "notification", "timestamp": stamp.replace("+00:00", "Z")}
    return Draft(f"notify:{topic}", {**added, **fields})


# ------------------------------------------------------------------------------------------------------------- reading


def history(channel: str, *, since: Position | None, limit: int, reverse: bool) -> Call:
    """A page of a channel's history."""
    query: dict[str, Any] = {"limit": limit}
    if since is not None:
        query["since"] = str(Position(*since))
    if reverse:
        query["reverse"] = "true"
    return Call(
        "GET", f"/v1/channels/{_quoted(check_channel(channel))}/messages?{urlencode(query)}"
    )


def history_of(answer: Answer, channel: str) -> History[Any]:
    """The page that was answered."""
    content = read(answer)
    messages = [_message(channel, one) for one in content["messages"]]
    return History(messages, content["epoch"], content["offset"], content["more"])


def _message(channel: str, content: Mapping[str, Any]) -> Message[Any]:
    data = content["data"]
    if content.get("encoding") == "base64":
        data = base64.b64decode(data)
    return Message(
        channel=channel,
        data=data,
        offset=content["offset"],
        sender=content.get("from"),
        ts=content["ts"],
        key=content.get("key"),
        tags=content.get("tags"),
        conflate_key=content.get("conflate_key"),
    )


def presence(channel: str, *, cursor: str | None) -> Call:
    """A page of who is in a channel."""
    path = f"/v1/channels/{_quoted(check_channel(channel))}/presence"
    return Call("GET", path + _query(cursor=cursor))


def presence_of(answer: Answer) -> PresencePage:
    """The page that was answered."""
    content = read(answer)
    members = [
        Member(m["user"], m["connection"], m["info"], m["since"]) for m in content["members"]
    ]
    return PresencePage(members, content["count"], content["users"], content["cursor"])


def channels(prefix: str, *, cursor: str | None) -> Call:
    """A page of channels that have subscribers."""
    return Call("GET", "/v1/channels" + _query(prefix=prefix, cursor=cursor))


def channels_of(answer: Answer) -> ChannelPage:
    """The page that was answered."""
    content = read(answer)
    found = [Audience(one["channel"], one["subscribers"]) for one in content["channels"]]
    return ChannelPage(found, content["cursor"])


# -------------------------------------------------------------------------------------------------- control and tokens


def disconnect(*, user: str | None, connection: str | None, code: int, reason: str) -> Call:
    """Close a user's connections, or one connection."""
    if (user is None) == (connection is None):
        raise _bad("give either user= or connection=")
    kind, name = ("users", check_user(user)) if connection is None else ("connections", connection)
    body = encode({"code": code, "reason": reason})
    return Call("POST", f"/v1/{kind}/{_quoted(name)}/disconnect", body)


def drain(node: str) -> Call:
    """Move a gateway's clients to the others."""
    return Call("POST", _drain_of(node))


def undo_drain(node: str) -> Call:
    """Have a gateway take clients again."""
    return Call("DELETE", _drain_of(node))


def connections_of(answer: Answer) -> int:
    """How many connections the gateway had."""
    found: int = read(answer)["connections"]
    return found


def _drain_of(node: str) -> str:
    return f"/v1/nodes/{_quoted(node)}/drain"


def grant(login: tuple[str, str]) -> Call:
    """An access token for an API client (RFC 6749 section 4.4)."""
    body = urlencode({"grant_type": "client_credentials"}).encode()
    return Call("POST", "/auth/token", body, FORM, login=login)


def granted(answer: Answer) -> tuple[str, float]:
    """The access token, and the seconds it is good for."""
    try:
        content = read(answer)
    except OpenlineError as error:
        # A refusal of the client, not of what it was about to send.
        if error.code not in _CODES_OF_A_CLIENT and not error.temporary:
            error.code = "bad_configuration"
        raise
    return content["access_token"], float(content["expires_in"])


def connect_token(
    user: str, *, channels: Mapping[str, Iterable[str]] | None, info: Any, ttl: int
) -> Call:
    """A token for a user."""
    body: dict[str, Any] = {"sub": check_user(user), "ttl": ttl}
    if channels is not None:
        body["channels"] = {pattern: list(actions) for pattern, actions in channels.items()}
    if info is not None:
        body["info"] = info
    return Call("POST", "/auth/connect-tokens", encode(body))


def ticket(token: str) -> Call:
    """A ticket that stands for `token`. Raises OpenlineError (`bad_configuration`) for what is no token."""
    return Call("POST", "/auth/tickets", bearer=check_bearer(token))


# -------------------------------------------------------------------------------------------------------- both ways


def encode(value: Any) -> bytes:
    """JSON. Raises InvalidData naming what JSON cannot hold."""
    try:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
        )
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidData("the data has half of a surrogate pair, which is no text") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidData(f"the data cannot be written as JSON: {error}") from None


def read(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer. Raises OpenlineError for a refusal, and for what Openline does not answer."""
    content = _object(answer.body)
    if answer.status >= 300:  # noqa: PLR2004 - HTTP's own
        raise refusal(answer, content or {})
    if content is None:
        raise _strange(answer)
    return content


def refusal(answer: Answer, content: Mapping[str, Any]) -> OpenlineError:
    """What a refused call raises."""
    text = content.get("detail") or content.get("error_description")
    if not text:
        text = f"the server answered {answer.status} without a reason; is there a proxy on the way?"
    error = _error(answer.status, text, content)
    if error.retry_after is None and error.temporary:
        error.retry_after = _seconds(answer.headers.get("retry-after"))
    return error


def _error(status: int, text: str, content: Mapping[str, Any]) -> OpenlineError:
    code = content.get("code") or _CODES.get(status, "internal")
    if status == 401:  # noqa: PLR2004 - HTTP's own
        return Unauthorized(text, code=code)
    at = content.get("position")
    return OpenlineError(
        text,
        code=code,
        temporary=status in TEMPORARY,
        retry_after=_seconds(content.get("retry_after")),
        position=Position(at["epoch"], at["offset"]) if at else None,
    )


def _seconds(value: Any) -> float | None:
    """What `Retry-After` says (RFC 9110 section 10.2.3); a date, which we never send, counts for nothing."""
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return None


def _strange(answer: Answer) -> OpenlineError:
    return OpenlineError(
        f"the answer ({answer.status}) is not Openline's; is the url that of its front door?",
        code="bad_configuration",
    )


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _plain(value: Any) -> Any:
    plain = to_plain(value)
    if plain is value:
        raise TypeError(f"{type(value).__name__} is not JSON; give text, numbers, lists or objects")
    return plain


def _checked_key(key: str, name: str = "key") -> str:
    if not 1 <= len(key) <= MAX_KEY or any(ord(sign) < 32 or ord(sign) == 127 for sign in key):  # noqa: PLR2004 - controls
        raise _bad(f"a {name} is 1 to {MAX_KEY} characters without control characters")
    return key


def _checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise _bad(f"a message has at most {MAX_TAGS} tags, not {len(tags)}")
    for name, value in tags.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise _bad("names and values of tags are strings")
        if not 1 <= len(name) <= MAX_TAG_NAME or len(value) > MAX_TAG:
            raise _bad(f"a tag has a name of 1 to {MAX_TAG_NAME} and up to {MAX_TAG} characters")
    return dict(tags)


def _quoted(name: str) -> str:
    return quote(name, safe=":@=+-._|")


def _query(**fields: str | None) -> str:
    given = {name: value for name, value in fields.items() if value}
    return f"?{urlencode(given)}" if given else ""


def _bad(message: str) -> OpenlineError:
    return OpenlineError(message, code="bad_request")
