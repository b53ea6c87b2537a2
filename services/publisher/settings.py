"""The publisher's settings, read once from the environment."""

from __future__ import annotations

from pydantic import Field

from services.kernel.ops.settings import Common, Port


class Settings(Common):
    """What the publisher needs beside the common settings."""

    publisher_host: str = Field(
        "127.0.0.1", min_length=1, description="address that the publisher listens on"
    )
    publisher_port: Port = Field(
        8300, description="port that the publisher listens on; 0 chooses a free one"
    )
