"""The limits as settings: each field of `Limits` is read from the environment, within its bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any, TypeVar, get_type_hints

import pydantic
from pydantic import create_model, model_validator

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.domain.limits import Limits
from services.kernel.domain.namespaces import Access, Namespaces
from services.kernel.ops.settings import PREFIX, Common

C = TypeVar("C", bound=Common)


class _Checked(Common):
    """Settings among which are limits that only work together."""

    @model_validator(mode="after")
    def _bursts(self) -> _Checked:
        for rate in [name for name in type(self).model_fields if name.endswith("_rate")]:
            burst = rate.replace("_rate", "_burst")
            least, given = getattr(self, rate), getattr(self, burst, None)
            if given is not None and given < least:
                raise ValueError(
                    f"{PREFIX}{burst.upper()}={given:g} is below {PREFIX}{rate.upper()}={least:g}: so many "
                    "a second could never be had; raise the burst, or lower the rate"
                )
        return self


def limited(service: str) -> type[Common]:
    """The common settings and the limits of a service."""
    hints = get_type_hints(Limits)
    found: dict[str, Any] = {
        limit.name: (hints[limit.name], _setting(limit)) for limit in _limits(service)
    }
    return create_model("Limited", __base__=_Checked, __module__=__name__, **found)


def _limits(service: str) -> Iterator[Field[Any]]:
    return (limit for limit in fields(Limits) if service in limit.metadata.get("services", ()))


def _setting(limit: Field[Any]) -> Any:
    low, high = limit.metadata["low"], limit.metadata["high"]
    what = f"{limit.metadata['what']} ({low} to {high})"
    return pydantic.Field(limit.default, ge=low, le=high, description=what)


def of(settings: Common) -> Limits:
    """The limits that a service was given; those of other services are the usual ones."""
    names = (limit.name for limit in fields(Limits))
    given = {name: getattr(settings, name) for name in names if hasattr(settings, name)}
    return Limits(rates=settings.limits, **given)


def check(limits: Limits, namespaces: Namespaces) -> None:
    """Raises ConfigurationError where a message that a frame or a namespace allows could never pass."""
    if limits.rates and limits.user_bytes_burst < limits.frame_bytes:
        raise ConfigurationError(
            f"{PREFIX}USER_BYTES_BURST={limits.user_bytes_burst} is below {PREFIX}FRAME_BYTES={limits.frame_bytes}: "
            "such a message could never be sent; raise the one or lower the other"
        )
    for namespace in namespaces:
        passes = ["outbox_bytes", "body_bytes"]
        passes += ["frame_bytes"] if namespace.publish is not Access.NOBODY else []
        for name in passes:
            if (most := getattr(limits, name)) < namespace.message_bytes:
                raise ConfigurationError(
                    f"{PREFIX}{name.upper()}={most} is below message_bytes = {namespace.message_bytes} of the "
                    f"namespace {namespace.name!r}; raise the one or lower the other"
                )


def check_memory(limits: Limits, ceiling: int | None) -> None:
    """Raises ConfigurationError where messages for returning clients could take more than half of `ceiling` bytes."""
    if ceiling is not None and limits.replay_bytes > ceiling // 2:
        raise ConfigurationError(
            f"{PREFIX}REPLAY_BYTES={limits.replay_bytes} is more than half of the {ceiling} bytes of memory that this "
            f"container may have; set it to {ceiling // 4}, or let the container have more"
        )
