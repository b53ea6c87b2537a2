"""Whether a page of a log continues from where a reader is (rule 5)."""

from __future__ import annotations

from services.kernel.broker.port import Looked


def continues_from(reply: Looked, offset: int) -> bool:
    """Whether a page begins at `offset` or below it: else something in between is missing."""
    return reply.start <= offset


def is_consistent(reply: Looked) -> bool:
    """Whether a page is what it says: each publication the next, of this epoch (or from before it began), and none
    above the head.
    """
    end = reply.start + len(reply.publications)
    return end <= reply.offset and all(
        publication.offset == offset and (publication.epoch == reply.epoch or offset <= reply.began)
        for offset, publication in enumerate(reply.publications, reply.start + 1)
    )
