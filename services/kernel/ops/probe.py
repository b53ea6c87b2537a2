"""Asks the service of this container whether it is ready: `python -m services.kernel.ops.probe gateway`.

For health checks of images, which have no curl. It starts for each check, so it imports next to nothing.
"""

from __future__ import annotations

import os
import socket
import sys

PORTS = {"gateway": 8101, "auth": 8200, "publisher": 8300}
_SECONDS = 2.0


def main() -> int:
    """Exit status 0 when /readyz answers 200 within 2 s, 1 when it does not, 2 for wrong arguments."""
    if len(sys.argv) != 2 or sys.argv[1] not in PORTS:  # noqa: PLR2004 - the program and its argument
        sys.stderr.write(f"one of {', '.join(PORTS)} is needed\n")
        return 2
    name = sys.argv[1]
    port = int(os.environ.get(f"OPENLINE_{name.upper()}_PORT") or PORTS[name])
    try:
        status = ask(port)
    except OSError as error:
        sys.stderr.write(f"nothing ready on port {port}: {error}\n")
        return 1
    sys.stdout.write(f"{status}\n")
    return 0 if status == "200" else 1


def ask(port: int) -> str:
    """The status with which /readyz answers on this port of loopback. Raises OSError."""
    with socket.create_connection(("127.0.0.1", port), _SECONDS) as connection:
        connection.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = connection.recv(64)
    return answer.split(b" ")[1].decode() if answer.count(b" ") > 1 else "nothing"


if __name__ == "__main__":
    sys.exit(main())
