"""Failures: each says what is the matter, none says a secret, and only what may pass is called temporary."""

from __future__ import annotations

import pytest
from redis import exceptions

from services.kernel.broker.failures import translate
from services.kernel.broker.port import BrokerConfigurationError
from services.kernel.domain.codes import Code


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (exceptions.ConnectionError("Error 111 connecting to redis://:pw@h"), "reached"),
        (exceptions.TimeoutError("Timeout reading from h"), "answer"),
        (ConnectionResetError("pw"), "reached"),
        (exceptions.BusyLoadingError("x"), "loading"),
        (exceptions.AuthenticationError("pw"), "password"),
        (exceptions.ReadOnlyError("x"), "master"),
        (exceptions.OutOfMemoryError("x"), "memory"),
        (exceptions.NoScriptError("x"), "script"),
        (exceptions.ClusterDownError("x"), "cluster"),
        (exceptions.NoPermissionError("x"), "rules"),
        (exceptions.ResponseError("MISCONF Redis is configured to save"), "disk"),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas"), "replicas"),
        (exceptions.ResponseError("UNBLOCKED force unblock"), "role"),
        (exceptions.ResponseError("MASTERDOWN Link with MASTER is down"), "master"),
        (exceptions.ResponseError("x script: f, on @user_script:1: -READONLY You"), "master"),
        (BrokerConfigurationError("set maxmemory-policy noeviction"), "noeviction"),
    ],
)
def test_what_may_pass_is_unavailable(error, says):
    refusal = translate(error)
    assert refusal.code is Code.UNAVAILABLE
    assert refusal.temporary
    assert says in refusal.message
    assert "pw" not in refusal.message.split()


def test_what_will_not_pass_is_internal_and_logged(caplog):
    refusal = translate(exceptions.ResponseError("WRONGTYPE Operation against a key"))
    assert refusal.code is Code.INTERNAL
    assert "WRONGTYPE" not in refusal.message
    assert "WRONGTYPE" in caplog.text
