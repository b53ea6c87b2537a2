"""Runs the page's helper: `python -m deploy.local.demo`, which `make run` starts behind its front door."""

from __future__ import annotations

from deploy.local import plan
from deploy.local.demo import app
from services.kernel.domain.limits import Limits
from services.kernel.http import serve
from services.kernel.ops import logs
from services.kernel.ops.refusal import refuse
from services.kernel.ops.settings import load


def main() -> None:
    """Serve on loopback until told to end."""
    settings = load(plan.Settings)
    if settings.demo_port is None:
        refuse(
            "OPENLINE_DEMO_PORT is not set: `make run` starts this program and gives it its port"
        )
    logs.configure("demo")
    serve.serve(
        app.create(settings.var),
        host="127.0.0.1",
        port=settings.demo_port,
        name="demo",
        limits=Limits(),
    )


if __name__ == "__main__":
    main()
