"""`python -m services.gateway`: serve WebSocket and SSE clients until told to end."""

from __future__ import annotations

from services.gateway.app import main

if __name__ == "__main__":
    main()
