"""How a stack of the tests goes: whole, although something is in use for a moment, and never silently in part."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.compose import ComposeStack

pytestmark = pytest.mark.docker


@pytest.fixture
def stack(images: None, tmp_path: Path) -> Iterator[ComposeStack]:
    """A container, a volume and networks of a project, none of which runs."""
    stack = ComposeStack(f"openline-test-{secrets.token_hex(3)}", tmp_path)
    stack.make_secrets()
    stack.compose("create", "redis")
    try:
        yield stack
    finally:
        stack.down()


def hold(stack: ComposeStack, seconds: int) -> str:
    """Use a network of the project for so long; the container that does."""
    image = stack.compose("config", "--images", "redis").split()[0]
    network = f"{stack.project}_data"
    how = ("--detach", "--rm", "--network", network, "--entrypoint", "sleep")
    return stack.docker("run", *how, image, str(seconds)).strip()


def test_what_is_in_use_for_a_moment_is_removed_all_the_same(stack: ComposeStack) -> None:
    hold(stack, 3)
    stack.down()


def test_what_stays_in_use_is_named(stack: ComposeStack) -> None:
    holder = hold(stack, 300)
    try:
        with pytest.raises(AssertionError, match=rf"left \['network {stack.project}_data'\]"):
            stack.down(patience=2)
    finally:
        stack.docker("rm", "--force", holder)
