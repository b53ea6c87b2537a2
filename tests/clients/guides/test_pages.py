"""The code of docs/start and docs/guides fits the packages: TypeScript and mypy read every block."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import Block, blocks
from tests.support.stack import ROOT

pytestmark = pytest.mark.clients

PAGES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("start", "guides")
    for path in (ROOT / "docs" / folder).glob("*.md")
)
SCRIPTS = {"js": "js", "tsx": "tsx", "ts": "ts"}


def of(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language in languages]


def name(block: Block) -> str:
    return f"{Path(block.page).stem.replace('-', '_')}_{len(block.heading)}_{block.number}"


def test_scripts_use_what_the_javascript_package_has(tmp_path: Path) -> None:
    modules = tmp_path / "node_modules"
    (modules / "@openline").mkdir(parents=True)
    (modules / "@openline/client").symlink_to(ROOT / "clients/js")
    for package in ("react", "@types"):
        (modules / package).symlink_to(ROOT / "clients/js/node_modules" / package)
    for block in of(*SCRIPTS):
        (tmp_path / f"{name(block)}.{SCRIPTS[block.language]}").write_text(block.code, "utf-8")
    options = {
        "allowJs": True,
        "checkJs": True,
        "noEmit": True,
        "strict": True,
        "noImplicitAny": False,
        "skipLibCheck": True,
        "jsx": "react-jsx",
        "module": "NodeNext",
        "moduleResolution": "NodeNext",
        "target": "ES2022",
        "lib": ["ES2022", "DOM"],
        "types": [],
    }
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options}))
    tsc = ROOT / "clients/js/node_modules/.bin/tsc"
    node = Path(sys.executable).parent / "node"
    done = subprocess.run([node, tsc, "-p", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_programs_use_what_the_python_package_has(tmp_path: Path) -> None:
    # The pages of a Django project run as one in test_django_channels.py: Django has no types here.
    for block in (block for block in of("python") if "django" not in block.page):
        if "fixture" not in block.heading and "def test_" not in block.code:
            (tmp_path / f"{name(block)}.py").write_text(block.code, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--check-untyped-defs", "--no-incremental",
         "--disable-error-code=name-defined", "--disable-error-code=no-redef", tmp_path],
        env={"MYPYPATH": str(ROOT / "clients/python/src"), "PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
