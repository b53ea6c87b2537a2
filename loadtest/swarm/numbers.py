"""Numbers of command lines: those that must be above 0, for argparse, and an exit status."""

from __future__ import annotations

from argparse import ArgumentTypeError

INTERRUPTED = 130
"""The exit status that shells give to what was ended by Ctrl-C."""


def whole(text: str) -> int:
    """A whole number from 1 up. Raises ArgumentTypeError."""
    try:
        number = int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no whole number") from None
    if number < 1:
        raise ArgumentTypeError(f"{text} is not above 0")
    return number


def positive(text: str) -> float:
    """A number above 0. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"{text} is not above 0")
    return number
