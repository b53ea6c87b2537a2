"""Several of auth's administration commands in one process, whose start costs more than they do."""

from __future__ import annotations

import io
import json
import sys

from services.auth import admin


def main() -> int:
    """Run `[[arguments, secret], ...]` from standard input, where no process list shows it, until one is refused."""
    for arguments, secret in json.load(sys.stdin):
        sys.stdin = io.StringIO(secret)
        status = admin.main(arguments)
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
