"""`python -m services.gateway`: serve WebSocket and SSE clients until told to end."""

from __future__ import annotations

from services.gateway.settings import Settings
from services.kernel.ops.settings import load
from services.kernel.ops.usage import check_arguments


def main() -> None:
    """Serve as the variables say. Help and settings that are refused do not wait for what takes a second to import."""
    check_arguments("gateway", "Serves WebSocket and SSE clients.", Settings)
    settings = load(Settings)
    from services.gateway import app  # noqa: PLC0415

    app.run(settings)


if __name__ == "__main__":
    main()
