"""`python -m services.embedded`: serve everything from this process until told to end."""

from __future__ import annotations

from services.embedded.app import main

if __name__ == "__main__":
    main()
