"""HTTP as uvicorn speaks it, except that an invalid request is refused with a problem document."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.http import problems


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol. It answers by itself what its parser cannot read, which no application sees."""

    def send_400_response(self, msg: str) -> None:
        """See uvicorn. The connection ends: where the next request would begin is not known."""
        del msg  # says no more than the status
        error = OpenlineError(
            Code.BAD_REQUEST,
            "the request is not valid HTTP: its method, its address or a header cannot be read",
        )
        refusal = problems.response(error, headers={"connection": "close"})
        head = [b"%b: %b\r\n" % header for header in refusal.raw_headers]
        self.transport.write(
            b"".join([b"HTTP/1.1 400 Bad Request\r\n", *head, b"\r\n", bytes(refusal.body)])
        )
        self.transport.close()
