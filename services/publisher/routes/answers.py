"""Answers of the HTTP API: JSON bytes that msgspec wrote from the documented types."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from services.kernel.broker.port import Outcome
from services.kernel.broker.port import Published as Stored
from services.kernel.domain.codes import OpenlineError
from services.publisher.routes.bodies import Head, Published, Result, Results

CREATED = 201
ACCEPTED = 202

_ENCODER = msgspec.json.Encoder()


def answer(value: object, status: int = 200) -> Response:
    """A value of a documented type as the whole body."""
    return raw(_ENCODER.encode(value), status)


def raw(body: bytes, status: int = 200) -> Response:
    """A body that is JSON already."""
    return Response(body, status, media_type="application/json")


def published(channel: str, stored: Stored) -> bytes:
    """Where one message went. What is ephemeral went nowhere that could be named."""
    kept = stored.offset > 0
    body = Published(
        channel=channel,
        epoch=stored.epoch if kept else msgspec.UNSET,
        offset=stored.offset if kept else msgspec.UNSET,
        duplicate=stored.duplicate,
        subscribers=stored.subscribers,
    )
    return _ENCODER.encode(body)


def results(channels: Sequence[str], outcomes: Sequence[Outcome]) -> bytes:
    """What became of each message, in order."""
    pairs = zip(channels, outcomes, strict=True)
    return _ENCODER.encode(Results([_result(channel, outcome) for channel, outcome in pairs]))


def _result(channel: str, outcome: Outcome) -> Result:
    if isinstance(outcome, OpenlineError):
        at = outcome.position
        return Result(
            channel=channel,
            status=outcome.status,
            code=outcome.code.value,
            message=outcome.message,
            position=msgspec.UNSET if at is None else Head(*at),
        )
    kept = outcome.offset > 0
    return Result(
        channel=channel,
        status=CREATED,
        epoch=outcome.epoch if kept else msgspec.UNSET,
        offset=outcome.offset if kept else msgspec.UNSET,
        duplicate=outcome.duplicate,
        subscribers=outcome.subscribers,
    )
