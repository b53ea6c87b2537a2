"""What can never work as it is configured."""

from __future__ import annotations


class ConfigurationError(Exception):
    """A service cannot work with these settings or this server; the text is one line that names the fix."""
