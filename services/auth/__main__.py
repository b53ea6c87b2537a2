"""Runs the auth service: `python -m services.auth`."""

from __future__ import annotations

from services.auth.settings import Settings
from services.kernel.ops.settings import load
from services.kernel.ops.usage import check_arguments


def main() -> None:
    """Serve as the variables say. Help and settings that are refused do not wait for what takes a second to import."""
    check_arguments(
        "auth",
        "Issues tokens and keeps users and clients; python -m services.auth.admin adds them.",
        Settings,
    )
    settings = load(Settings)
    from services.auth import app  # noqa: PLC0415

    app.run(settings)


if __name__ == "__main__":
    main()
