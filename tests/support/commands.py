"""Commands from frames, as a session reads them."""

from __future__ import annotations


def decoded(codec, frame):
    """The command in a frame; see Codec.read and Codec.command."""
    return codec.command(codec.read(frame))
