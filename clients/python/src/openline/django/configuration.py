"""The setting `OPENLINE`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

_NAMES = ("URL", "CLIENT_ID", "CLIENT_SECRET", "TTL", "SUBJECT", "CHANNELS", "INFO", "OPTIONS")


def option(name: str, default: Any = None) -> Any:
    """One member of `OPENLINE`. Raises ImproperlyConfigured for members that nobody reads."""
    given = getattr(settings, "OPENLINE", {})
    for other in given:
        if other not in _NAMES:
            raise ImproperlyConfigured(
                f"OPENLINE[{other!r}] is not known; known are {', '.join(_NAMES)}"
            )
    return given.get(name, default)


def function(name: str) -> Callable[[Any], Any] | None:
    """The function that a member names by its dotted path, or is."""
    found = option(name)
    called: Callable[[Any], Any] | None = import_string(found) if isinstance(found, str) else found
    return called
