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
    client_bytes_rate: int = Field(
        16_777_216,
        ge=1_024,
        description="bytes of data a second that a client may have stored by one publisher, at least 1024; a broadcast "
        "counts once for each channel",
    )
    client_bytes_burst: int = Field(
        134_217_728,
        ge=1_048_576,
        description="bytes of data that a client may have stored at once, at least 1048576",
    )
