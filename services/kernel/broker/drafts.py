"""From checked input to the draft that the broker stores: what HTTP and sockets publish is put together here alone."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.kernel.broker.port import Draft
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.namespaces import Namespace
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Kind

WRITTEN = 2
"""How many times as large as what is stored data may be written: with blanks, or numbers wider than they need be."""

_ENCODER = msgspec.json.Encoder()


def compose(
    namespace: Namespace,
    channel: str,
    *,
    data: bytes,
    kind: Kind = Kind.JSON,
    ts_ms: int,
    http: bool = False,
    sender: str | None = None,
    subject: str = "",
    key: str | None = None,
    conflate_key: str | None = None,
    tags: Mapping[str, str] | None = None,
    ephemeral: bool = False,
    expect: Position | None = None,
    token: str = "",
) -> Draft:
    """A draft of data that was checked already (`check_size`, `domain.data`, `domain.schemas`).

    `sender` is the publishing user, None for an anonymous one; with `http` there is no `from` at all. `subject` is
    whose the idempotency key is: the token's `sub`, or for an anonymous sender something no other has, such as
    `/<connection>`. `ts_ms` is milliseconds since 1970.
    """
    return Draft(
        channel=channel,
        data=data,
        kind=kind,
        meta=_meta(http, sender, ts_ms=ts_ms, key=key, conflate_key=conflate_key, tags=tags),
        # A subject holds no slash, so two subjects' keys can never meet.
        key=None if key is None else f"{subject}/{key}",
        token=token,
        ephemeral=ephemeral,
        expect=expect,
        history_size=namespace.history_size,
        history_bytes=namespace.history_bytes,
        history_ttl=namespace.history_ttl,
    )


def check_size(namespace: Namespace, size: int) -> None:
    """Raises `too_large` when a message of `size` bytes exceeds what the namespace takes."""
    if size > namespace.message_bytes:
        raise _too_large(namespace, size)


def check_written(namespace: Namespace, size: int) -> None:
    """Raises `too_large` for data that needs no look: as a client wrote it, it is more than twice what may be stored."""
    if size > WRITTEN * namespace.message_bytes:
        raise _too_large(namespace, size)


def _too_large(namespace: Namespace, size: int) -> OpenlineError:
    return OpenlineError(
        Code.TOO_LARGE,
        f"the data has {size} bytes; a message in {namespace.name}: has at most {namespace.message_bytes}",
    )


def _meta(
    http: bool,  # noqa: FBT001 - private
    sender: str | None,
    *,
    ts_ms: int,
    key: str | None,
    conflate_key: str | None,
    tags: Mapping[str, str] | None,
) -> bytes:
    if http and key is None and conflate_key is None and not tags:
        return b'"ts":%d' % ts_ms
    fields: dict[str, object] = {}
    if conflate_key is not None:  # first, where a gateway looks for it
        fields["conflate_key"] = conflate_key
    if not http:
        fields["from"] = sender
    fields["ts"] = ts_ms
    if key is not None:
        fields["key"] = key
    if tags:
        fields["tags"] = tags
    return _ENCODER.encode(fields)[1:-1]
