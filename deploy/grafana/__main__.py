"""Writes dashboards/*.json, which Grafana reads: `python -m deploy.grafana`."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.fleet import fleet
from deploy.grafana.gateway import gateway
from deploy.grafana.publishing import publishing

FOLDER = Path(__file__).parent / "dashboards"


def documents() -> dict[str, str]:
    """The text of each file by its name."""
    built = {"fleet": fleet(), "gateway": gateway(), "publishing": publishing()}
    return {f"{name}.json": _text(board) for name, board in built.items()}


def _text(board: Dashboard) -> str:
    document = json.loads(JSONEncoder().encode(board.build()))
    for number, panel in enumerate(document["panels"], 1):
        panel["id"] = number  # links to a panel go by it
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
