"""`python -m services.publisher`: serve the HTTP API until told to end."""

from __future__ import annotations

from services.kernel.ops.settings import load
from services.kernel.ops.usage import check_arguments
from services.publisher.settings import Settings


def main() -> None:
    """Serve as the variables say. Help and settings that are refused do not wait for what takes a second to import."""
    check_arguments(
        "publisher", "Takes messages by HTTP, and reads histories and presence.", Settings
    )
    settings = load(Settings)
    from services.publisher import app  # noqa: PLC0415

    app.run(settings)


if __name__ == "__main__":
    main()
