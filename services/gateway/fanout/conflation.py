"""Which publications supersede one another: of those with the same `conflate_key` only the newest counts."""

from __future__ import annotations

from collections.abc import Sequence

from services.kernel.domain.publications import Publication

_BEFORE = b'"conflate_key":"'
_BEHIND = b'","'
"""What stands behind the key, as `ts` always follows. Within the key's text JSON escapes each quote."""


def key_of(publication: Publication) -> bytes | None:
    """The publication's `conflate_key` as JSON writes it; None where it has none."""
    meta = publication.meta
    if not meta.startswith(_BEFORE):
        return None
    return meta[len(_BEFORE) : meta.index(_BEHIND, len(_BEFORE))]


def conflate(publications: Sequence[Publication]) -> Sequence[Publication]:
    """Of publications that follow each other in a channel those that count, with `skipped` behind what was left out.

    Without a key each counts; so do ephemeral ones, which have no place that `skipped` could cover.
    """
    keys = [key_of(publication) if publication.offset else None for publication in publications]
    newest = {key: index for index, key in enumerate(keys) if key is not None}
    kept: list[Publication] = []
    skipped = 0
    for index, (key, publication) in enumerate(zip(keys, publications, strict=True)):
        if key is not None and newest[key] != index:
            skipped += 1
        elif skipped and publication.offset:
            kept.append(_behind(publication, skipped))
            skipped = 0
        else:
            kept.append(publication)
    return kept


def _behind(publication: Publication, skipped: int) -> Publication:
    """The publication as one before which others were left out: each wire format encodes it once, as any other."""
    return Publication(
        epoch=publication.epoch,
        offset=publication.offset,
        data=publication.data,
        meta=b'%b,"skipped":%d' % (publication.meta, skipped),
        kind=publication.kind,
        token=publication.token,
    )
