"""What a service says of its command line and its settings, it says before it imports what serves."""

from __future__ import annotations

import pytest

from tests.support.service_process import ended

pytestmark = pytest.mark.server

HEAVY = ("fastapi", "sqlalchemy", "uvicorn")
PROGRAM = f"""
import runpy, sys
try:
    runpy.run_module(sys.argv.pop(1), run_name="__main__")
finally:
    print("imported:", *(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("service", ["auth", "gateway", "publisher"])
def test_help_and_refused_settings_do_not_wait_for_imports(service: str) -> None:
    shown = ended("-c", PROGRAM, f"services.{service}", "--help")
    assert (shown.returncode, shown.stderr) == (0, "imported:\n")
    assert "OPENLINE_REDIS_URL" in shown.stdout
    refused = ended("-c", PROGRAM, f"services.{service}", OPENLINE_LOG_LEVEL="loud")
    assert refused.returncode == 2
    first, second = refused.stderr.splitlines()
    assert "OPENLINE_LOG_LEVEL" in first
    assert second == "imported:"
