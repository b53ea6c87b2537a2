"""What can never work as configured is no refusal of a call: no route may turn it into an answer."""

from __future__ import annotations

from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.configuration import ConfigurationError


def test_it_is_not_taken_for_the_refusal_of_a_call():
    assert not issubclass(ConfigurationError, OpenlineError | OSError)
    assert str(ConfigurationError("name the fix")) == "name the fix"
