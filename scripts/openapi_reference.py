"""Writes docs/reference/openapi/*.json from the services' routes: `python -m scripts.openapi_reference`.

With `--check` nothing is written; exit status 1 when a file is stale.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI

from scripts import generated
from scripts.generated import ROOT
from services.auth import app as auth
from services.auth.settings import Settings as AuthSettings
from services.publisher import app as publisher
from services.publisher.settings import Settings as PublisherSettings

FOLDER = ROOT / "docs" / "reference" / "openapi"


@functools.cache
def documents() -> dict[Path, str]:
    """File to content. Nothing is connected to; auth's database and keys live in a folder that goes again."""
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("OPENLINE_")]:
            del os.environ[name]
        os.environ |= {"OPENLINE_VAR": folder, "OPENLINE_AUTH_PASSWORD_GRANT": "on"}
        app = auth.create(AuthSettings())
        try:
            return {
                FOLDER / "auth.json": _text(app),
                FOLDER / "publisher.json": _text(publisher.create(PublisherSettings()).app),
            }
        finally:
            app.state.parts.store.close()
            app.state.parts.passwords.close()


def _text(app: FastAPI) -> str:
    document: dict[str, Any] = app.openapi()
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(generated.write(documents()))
