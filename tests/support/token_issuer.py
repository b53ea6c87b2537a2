"""An issuer of tokens: an Ed25519 key of its own, shown on a JWKS URL, as any identity provider does."""

from __future__ import annotations

import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ISSUER = "https://issuer.test"
ALL_SCOPES = "publish read manage"


class TokenIssuer:
    """Serves `url` while it is open (a context manager); `token` signs without asking anybody."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.kid = uuid.uuid4().hex
        document = json.dumps({"keys": [self._jwk()]}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/jwks.json"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def _jwk(self) -> dict[str, Any]:
        public = jwt.algorithms.OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "alg": "EdDSA", "use": "sig"}

    def token(
        self, sub: str = "client:tests", scope: str | None = ALL_SCOPES, **claims: Any
    ) -> str:
        """A token good for an hour; `claims` add to it, replace, or with None take away."""
        now = int(time.time())
        payload = {
            "iss": ISSUER,
            "aud": "openline",
            "sub": sub,
            "iat": now,
            "exp": now + 3600,
            "jti": uuid.uuid4().hex,
            "scope": scope,
            **claims,
        }
        payload = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(payload, self.key, algorithm="EdDSA", headers={"kid": self.kid})

    @property
    def environment(self) -> dict[str, str]:
        """What makes a service trust this issuer."""
        return {"OPENLINE_JWKS_URLS": self.url, "OPENLINE_ISSUERS": ISSUER}

    def close(self) -> None:
        """Stop serving the keys."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
