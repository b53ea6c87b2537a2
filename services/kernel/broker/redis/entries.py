"""How entries of bus and log are read back from Redis' replies."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

from services.kernel.broker.port import Batch, Entry, EntryType
from services.kernel.domain.publications import Kind, Publication

_TYPES = {entry.value.encode(): entry for entry in EntryType}
_KINDS = {str(kind.value).encode(): kind for kind in Kind}
_CARRIES = frozenset({EntryType.MESSAGE, EntryType.EPHEMERAL, EntryType.NUDGE})


def number(stream_id: bytes) -> int:
    """The sequence part of a bus id (`0-<n>`)."""
    return int(stream_id[2:])


def channel(fields: Sequence[bytes]) -> str:
    """The channel of a bus entry from XREAD; empty for one of no channel. Raises nothing, whatever stands there."""
    header = fields[1].split(b" ", 2)
    return header[1].decode(errors="replace") if len(header) > 1 else ""


class RawBatch(Batch):
    """Entries as XREAD gave them, with the ids `after` + 1 to `to`; each is decoded when it is looked at."""

    __slots__ = ()

    def wanted(self, channels: Container[str]) -> Iterator[Entry]:
        """See Batch. Most entries are of channels that nobody here listens to, and need no more than their names."""
        place = self.after
        for _, fields in self._entries:
            place += 1
            header = fields[1].split(b" ")
            name = header[1].decode(errors="replace") if len(header) > 1 else ""
            if name in channels or not name:
                yield _decoded(place, header, name, fields)

    def _all(self) -> Sequence[Entry]:
        return [entry(self.after + 1 + n, fields) for n, (_, fields) in enumerate(self._entries)]


def contiguous(found: Sequence[Any]) -> Sequence[Any]:
    """What XREAD gave, up to where an id is missing: somebody else has deleted what was there."""
    if len(found) == 1:
        return found
    first = number(found[0][0])
    if number(found[-1][0]) - first == len(found) - 1:
        return found
    return [one for place, one in enumerate(found) if number(one[0]) == first + place]


def entry(number: int, fields: Sequence[bytes]) -> Entry:
    """A bus entry from XREAD: fields h (header), d (data or fragment) and, for publications, m (meta)."""
    return _decoded(number, fields[1].split(b" "), channel(fields), fields)


def _decoded(number: int, header: list[bytes], channel: str, fields: Sequence[bytes]) -> Entry:
    kind = _TYPES.get(header[0], EntryType.UNKNOWN)
    if kind is EntryType.UNKNOWN:
        # While a fleet is being updated; a reader that stopped here would be deaf.
        return Entry(number, kind)
    if kind not in _CARRIES:
        return Entry(number, kind, channel, None, fields[3])
    publication = Publication(
        epoch=header[2].decode(),
        offset=int(header[3]),
        data=fields[3],
        meta=fields[5],
        kind=_KINDS[header[4]],
        token=header[5].decode(),
    )
    return Entry(number, kind, channel, publication)


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
