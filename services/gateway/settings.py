"""The gateway's settings, read once from the environment."""

from __future__ import annotations

from pydantic import Field

from services.kernel.ops.settings import Common, Port


class Settings(Common):
    """What a gateway needs beside the common settings."""

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
    user_bytes_rate: int = Field(
        131_072,
        ge=1_024,
        description="bytes a second that a user may send over all sockets, at least 1024; anonymous clients count by address",
    )
    user_bytes_burst: int = Field(
        4_194_304,
        ge=1_048_576,
        description="bytes that a user may send at once, at least 1048576",
    )
    ping_seconds: float = Field(
        25, ge=1, le=3600, description="seconds of silence after which a client is asked, 1 to 3600"
    )
    outbox_bytes: int = Field(
        1_048_576,
        ge=65_536,
        le=268_435_456,
        description="bytes that may wait for a slow client, 65536 to 268435456",
    )
    drain_seconds: float = Field(
        5,
        ge=0,
        le=600,
        description="seconds over which clients are moved when the gateway stops, 0 to 600",
    )
