"""Expecting a refusal by its code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.kernel.domain.codes import Code, OpenlineError


@contextmanager
def refused(
    code: Code, pattern: str | None = None
) -> Iterator[pytest.ExceptionInfo[OpenlineError]]:
    """The block must raise OpenlineError with this code; its message matches the regular expression."""
    with pytest.raises(OpenlineError, match=pattern) as caught:
        yield caught
    assert caught.value.code is code
