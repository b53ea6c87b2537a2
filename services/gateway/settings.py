"""The gateway's settings, read once from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from services.kernel.domain.limits import GATEWAY
from services.kernel.ops import limits
from services.kernel.ops.settings import Common, Port

if TYPE_CHECKING:
    Limited = Common
else:
    Limited = limits.limited(GATEWAY)


class Settings(Limited):
    """What a gateway needs beside the common settings and its limits."""

    gateway_host: str = Field(
        "127.0.0.1", min_length=1, description="address that the gateway listens on"
    )
    gateway_port: Port = Field(
        8101, description="port that the gateway listens on; 0 chooses a free one"
    )
    node: str = Field(
        "",
        max_length=64,
        description="the gateway's name in metrics and lists, up to 64 characters; default: random",
    )
    echo_max_bytes: int = Field(
        0,
        ge=0,
        le=64 * 1024 * 1024,
        description="largest message of /ws/echo in bytes, up to 67108864; 0 turns the route off",
    )
    drain_seconds: float = Field(
        5,
        ge=0,
        le=600,
        description="seconds over which clients are moved when the gateway stops, 0 to 600",
    )
    shedding: bool = Field(
        False,
        description="on: a gateway that has more connections than the others hands some over, after a scale-out",
    )
