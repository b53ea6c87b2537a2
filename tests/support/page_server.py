"""The server of a user's page: its files, and a token for who looks at it. Its origin is another than the front door's."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class PageServer:
    """`url`: where it is. `mint` gives the tokens of `POST /realtime-token`; `minted` is when they were, on the monotonic clock."""

    def __init__(self, mint: Callable[[], str]) -> None:
        self.mint = mint
        self.minted: list[float] = []
        self.url = ""


class _Handler(http.server.SimpleHTTPRequestHandler):
    # A kept connection lets the back/forward cache have the page.
    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, page: PageServer, **options: Any) -> None:
        self._page = page
        super().__init__(*args, **options)

    def do_POST(self) -> None:
        self._page.minted.append(time.monotonic())
        body = json.dumps({"token": self._page.mint()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # a page that sleeps or is left takes no answer
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def page_server(folder: Path, mint: Callable[[], str]) -> Iterator[PageServer]:
    """Serve the folder until the block ends."""
    page = PageServer(mint)
    handler = functools.partial(_Handler, page=page, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        # Which `make run` lets read what the front door answers, as over HTTP a page must.
        page.url = f"http://localhost:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield page
        finally:
            server.shutdown()
