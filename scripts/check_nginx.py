"""Checks the nginx configuration: as the local run writes it with nginx itself and gixy, for containers with gixy.

What containers use needs nginx 1.30, which few machines have: their tests run `nginx -t` inside the image.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local import plan, programs
from deploy.local.nginx import TEMPLATES


def main() -> int:
    """0 when neither finds fault."""
    with tempfile.TemporaryDirectory() as folder:
        # The usual ports, in use or not: `nginx -t` does not mind, and gixy takes any that has 443 in it for TLS.
        settings = plan.Settings(port=None, status_port=None, var=Path(folder))
        the_plan = plan.make(settings)
        (the_plan.var / "logs").mkdir()
        command = list(programs.front_door(the_plan).command)
        main_file = command[command.index("-c") + 1]
        return _run([*command, "-t"], "nginx -t") or any(
            _run([sys.executable, "-m", "gixy", str(path)], f"gixy {path.name}")
            for path in (Path(main_file), *sorted(TEMPLATES.glob("containers*.conf")))
            if "http {" in path.read_text("utf-8")
        )


def _run(command: list[str], name: str) -> int:
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    faults = result.returncode != 0 or "[warn]" in result.stderr or ">> Problem" in result.stdout
    sys.stdout.write(f"{name}: {'FAULTS' if faults else 'clean'}\n")
    if faults:
        sys.stdout.write(result.stdout + result.stderr)
    return int(faults)


if __name__ == "__main__":
    sys.exit(main())
