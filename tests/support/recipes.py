"""The code of docs/recipes as modules: run as it stands, with the running system in the environment."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.documents import example
from tests.support.stack import Stack


def environment(stack: Stack, url: str | None = None) -> dict[str, str]:
    """What a recipe's reader has set; `url` stands in for the front door."""
    client = stack.run["clients"][0]
    found = {"URL": url or stack.url}
    found |= {name.upper(): client[name] for name in ("client_id", "client_secret")}
    return {f"OPENLINE_{name}": value for name, value in found.items()}


@contextmanager
def module(page: str, *examples: tuple[str, int], name: str, **given: Any) -> Iterator[Any]:
    """A module of these examples, `(heading, number)`, one after the other; `given` are names it has before."""
    made = types.ModuleType(name)
    vars(made).update(given)
    with pytest.MonkeyPatch.context() as patch:
        # Annotations that are text are looked up in the module.
        patch.setitem(sys.modules, name, made)
        for heading, number in examples:
            (block,) = example(f"docs/recipes/{page}", heading, number)
            exec(compile(block.code, f"docs/recipes/{page}", "exec"), vars(made))
        yield made
