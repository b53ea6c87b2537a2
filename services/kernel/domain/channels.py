"""Channel names: `namespace:name`, and the grammar both parts keep."""

from __future__ import annotations

import re

from services.kernel.domain.codes import Code, OpenlineError

MAX_CHANNEL = 32 + 1 + 200
"""Characters of the longest channel name."""

NAMESPACE_GRAMMAR = "[a-z][a-z0-9_-]{0,31}"
CHARACTER_GRAMMAR = "[A-Za-z0-9_.:@|=+-]"
NAME_GRAMMAR = CHARACTER_GRAMMAR + "{1,200}"
CHANNEL_GRAMMAR = f"{NAMESPACE_GRAMMAR}:{NAME_GRAMMAR}"
PREFIX_GRAMMAR = f"{CHARACTER_GRAMMAR}{{0,{MAX_CHANNEL}}}"
SUBJECT_GRAMMAR = CHARACTER_GRAMMAR + "{1,128}"
"""Regular expressions of whole values, without anchors, that JSON Schema and Python read alike."""

NAMESPACE = re.compile(NAMESPACE_GRAMMAR + r"\Z")
NAME = re.compile(NAME_GRAMMAR + r"\Z")
SUBJECT = re.compile(SUBJECT_GRAMMAR + r"\Z")
PREFIX = re.compile(PREFIX_GRAMMAR + r"\Z")


def split(channel: object) -> tuple[str, str]:
    """`(namespace, name)` of a channel. Raises `bad_request` saying which rule the value breaks."""
    if not isinstance(channel, str):
        raise OpenlineError(Code.BAD_REQUEST, "channel must be a string such as room:lobby")
    namespace, colon, name = channel.partition(":")
    if not colon:
        raise OpenlineError(
            Code.BAD_REQUEST, "a channel is written namespace:name, for example room:lobby"
        )
    if not NAMESPACE.match(namespace):
        raise OpenlineError(
            Code.BAD_REQUEST,
            "a channel's namespace is a lower-case letter and up to 31 of a-z, 0-9, _ and -",
        )
    if not NAME.match(name):
        raise OpenlineError(
            Code.BAD_REQUEST, "a channel's name is 1-200 characters of A-Z a-z 0-9 _ . : @ | = + -"
        )
    return namespace, name


def is_subject(value: object) -> bool:
    """Whether a value may be a user's or client's `sub`."""
    return isinstance(value, str) and SUBJECT.match(value) is not None


def personal(subject: str) -> str:
    """The personal channel of a user."""
    return f"user:{subject}"


def connections(subject: str) -> str:
    """The name under which gateways count a user's connections as if they listened to a channel.

    No channel can have it, and lists of channels, which are in the order of names, end before it.
    """
    return f"\x7f{subject}"


def address(text: str) -> str:
    """The same for the connections of a network address; a subject begins in another way."""
    return f"\x7f\x7f{text}"
