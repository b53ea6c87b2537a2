"""Sentences for people that have a largest size."""

from __future__ import annotations

_MORE = "…"


def cut(text: str, most: int) -> str:
    """At most `most` bytes of UTF-8 of a text, cut between words where it has any, and marked as cut."""
    whole = text.encode("utf-8", "replace")
    if len(whole) <= most:
        return whole.decode()
    kept = whole[: most - len(_MORE.encode())].decode("utf-8", "ignore")
    return (kept.rpartition(" ")[0] or kept).rstrip(" ,;:") + _MORE
