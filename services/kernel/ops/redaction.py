"""Takes secrets out of text and structures before they are logged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.kernel.domain.wording import cut

MASK = "[redacted]"

_NAMES = (
    "access_token|refresh_token|id_token|token|ticket|password|passwd|client_secret|secret|"
    "assertion|authorization|cookie|openline_token"
)
_SECRET_NAME = re.compile(rf"({_NAMES})\Z", re.IGNORECASE)
_IN_TEXT = (
    # A JWT, wherever it stands: three base64url parts of which the first begins with {".
    (re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), MASK),
    (re.compile(rf"(?<![A-Za-z0-9])({_NAMES})=[^&\s\"';,]+", re.IGNORECASE), rf"\1={MASK}"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"(://[^/\s:@]*):[^/\s@]+@"), rf"\1:{MASK}@"),
)
_LIKE_A_TOKEN = re.compile(r"eyJ|[A-Za-z0-9_-]{40}")
"""The beginning of a JWT, or as many characters of base64url as our tickets and secrets have; nginx's log has the same."""
_MAX_PATH = 300
_DEPTH = 6


def text(value: str) -> str:
    """The text with JWTs, credentials of URLs and headers, and secret query values masked."""
    for pattern, replacement in _IN_TEXT:
        value = pattern.sub(replacement, value)
    return value


def path(sent: str) -> str:
    """The path of a stranger's request: nothing of one that may hold a token, the beginning of a long one."""
    return MASK if _LIKE_A_TOKEN.search(sent) else cut(sent, _MAX_PATH)


def value(item: Any, depth: int = _DEPTH) -> Any:
    """The value with every string in it masked, and everything under a secret's name; deeper than 6 is dropped."""
    if isinstance(item, str):
        return text(item)
    if depth == 0:
        return MASK
    if isinstance(item, Mapping):
        return {k: _entry(k, v, depth) for k, v in item.items()}
    if isinstance(item, list | tuple | set | frozenset):
        return [value(part, depth - 1) for part in item]
    return item


def _entry(key: Any, item: Any, depth: int) -> Any:
    if item is not None and isinstance(key, str) and _SECRET_NAME.match(key):
        return MASK
    return value(item, depth - 1)
