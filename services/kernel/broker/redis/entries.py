"""How entries of bus and log are read back from Redis' replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.kernel.broker.port import Entry, EntryType
from services.kernel.domain.publications import Kind, Publication

_TYPES = {entry.value.encode(): entry for entry in EntryType}
_KINDS = {str(kind.value).encode(): kind for kind in Kind}
_CARRIES = frozenset({EntryType.MESSAGE, EntryType.EPHEMERAL, EntryType.NUDGE})


def number(stream_id: bytes) -> int:
    """The sequence part of a bus id (`0-<n>`)."""
    return int(stream_id[2:])


def entry(stream_id: bytes, fields: Sequence[bytes]) -> Entry:
    """A bus entry from XREAD: fields h (header), d (data or fragment) and, for publications, m (meta)."""
    header = fields[1].split(b" ")
    kind = _TYPES.get(header[0], EntryType.UNKNOWN)
    if kind is EntryType.UNKNOWN:
        # While a fleet is being updated; a reader that stopped here would be deaf.
        return Entry(number(stream_id), kind)
    channel = header[1].decode() if len(header) > 1 else ""
    if kind not in _CARRIES:
        return Entry(number(stream_id), kind, channel, None, fields[3])
    publication = Publication(
        epoch=header[2].decode(),
        offset=int(header[3]),
        data=fields[3],
        meta=fields[5],
        kind=_KINDS[header[4]],
        token=header[5].decode(),
    )
    return Entry(number(stream_id), kind, channel, publication)


def publications(epoch: str, found: Sequence[Any]) -> tuple[Publication, ...]:
    """Publications from a page of a log: `[id, [h, header, d, data, m, meta]]` each."""
    return tuple(_publication(epoch, stream_id, fields) for stream_id, fields in found)


def _publication(epoch: str, stream_id: bytes, fields: Sequence[bytes]) -> Publication:
    kind, _, token = fields[1].partition(b" ")
    return Publication(
        epoch=epoch,
        offset=int(stream_id[:-2]),
        data=fields[3],
        meta=fields[5],
        kind=_KINDS[kind],
        token=token.decode(),
    )
