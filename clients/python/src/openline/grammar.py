"""How channels and users are written, checked before anything is sent: the refusal names the character that is wrong."""

from __future__ import annotations

import re

from openline.errors import OpenlineError

ALLOWED = "A-Z a-z 0-9 _ . : @ | = + -"
MAX_SUBJECT = 128
MAX_NAME = 200

_WRONG = re.compile(r"[^A-Za-z0-9_.:@|=+-]")
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")
_NAMESPACE = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")


def check_user(user: object) -> str:
    """`user` if it can be the `sub` of a token. Raises OpenlineError (`bad_request`)."""
    if not isinstance(user, str):
        raise _refused(f"a user is a string, not {type(user).__name__}")
    if user.startswith("client:"):
        raise _refused("client:... is how API clients are named; a user must have another name")
    return _written(user, what="user", longest=MAX_SUBJECT)


def check_channel(channel: object) -> str:
    """`channel` if it is written `namespace:name`. Raises OpenlineError (`bad_request`)."""
    if not isinstance(channel, str):
        raise _refused(f"a channel is a string such as room:lobby, not {type(channel).__name__}")
    namespace, colon, name = channel.partition(":")
    if not colon:
        raise _refused(
            f"{channel[:100]!r} is no channel; one is written namespace:name, such as room:lobby"
        )
    if not _NAMESPACE.match(namespace):
        raise _refused(
            f"the namespace {namespace[:100]!r} of a channel must be a lower-case letter and up to 31 of a-z 0-9 _ -"
        )
    _written(name, what="channel's name", longest=MAX_NAME)
    return channel


def check_bearer(token: str) -> str:
    """`token` if it can travel in a header (RFC 6750 section 2.1). Raises OpenlineError (`bad_configuration`).

    The text does not repeat it. Sent all the same it would be in the text of an HTTP library's error.
    """
    if not _BEARER.match(token):
        raise OpenlineError(
            "a token is letters, digits and . _ ~ + / - with = at its end alone: "
            "this one is empty or has others, such as the end of the line it was read from",
            code="bad_configuration",
        )
    return token


def _written(text: str, *, what: str, longest: int) -> str:
    wrong = _WRONG.search(text)
    if wrong:
        raise _refused(
            f"the {what} {text[:250]!r} has {wrong[0]!r} at position {wrong.start()}; allowed are {ALLOWED}"
        )
    if not 1 <= len(text) <= longest:
        raise _refused(f"a {what} has 1 to {longest} characters, not {len(text)}")
    return text


def _refused(message: str) -> OpenlineError:
    return OpenlineError(message, code="bad_request")
