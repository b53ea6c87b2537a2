"""Which known name a misspelt one is nearest to, for refusals that say what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Collection

_LONGEST = 64
"""Characters of a name that are compared: strangers choose them, and comparing takes the square of the length."""

_ALIKE = 0.8
"""From here on, of 1, two names differ by a slip."""


def nearest(name: str, known: Collection[str]) -> str:
    """The one of `known`, which must not be empty, that is most like `name`.

    After slips of a letter come names that stand whole in it, as `key` in `idempotency_key`; then whatever is next.
    """
    given = name[:_LONGEST].lower()
    of = {one.lower(): one for one in sorted(known)}
    found = difflib.get_close_matches(given, of, n=1, cutoff=_ALIKE)
    found = found or sorted((one for one in of if one in given), key=len)[-1:]
    return of[(found or difflib.get_close_matches(given, of, n=1, cutoff=0.0))[0]]


def shown(name: str) -> str:
    """A stranger's name as a refusal quotes it: bounded, and nothing that a terminal would obey."""
    return repr(name if len(name) <= _LONGEST else name[:_LONGEST] + "...")
