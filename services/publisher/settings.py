"""The publisher's settings, read once from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from services.kernel.domain.limits import PUBLISHER
from services.kernel.ops import limits
from services.kernel.ops.settings import Common, Port

if TYPE_CHECKING:
    Limited = Common
else:
    Limited = limits.limited(PUBLISHER)


class Settings(Limited):
    """What the publisher needs beside the common settings and its limits."""

    publisher_host: str = Field(
        "127.0.0.1", min_length=1, description="address that the publisher listens on"
    )
    publisher_port: Port = Field(
        8300, description="port that the publisher listens on; 0 chooses a free one"
    )
