"""`python -m services.publisher`: serve the HTTP API until told to end."""

from __future__ import annotations

from services.publisher.app import main

if __name__ == "__main__":
    main()
