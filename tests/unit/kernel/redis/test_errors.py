"""Failures: each says what is the matter, none says a secret, and only what may pass is called temporary."""

from __future__ import annotations

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser

from services.kernel.domain.codes import Code
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.errors import translate


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("LOADING Redis is loading the dataset in memory", "loading"),
        ("READONLY You can't write against a read only replica.", "not the master"),
        (
            "READONLY You can't write against a read only replica. script: f, on @user_script:1.",
            "not the master",
        ),
        ("OOM command not allowed when used memory > 'maxmemory'.", "memory"),
        ("BUSY Redis is busy running a script.", "busy"),
        ("NOREPLICAS Not enough good replicas to write.", "replicas"),
        ("MASTERDOWN Link with MASTER is down", "lost its master"),
        ("SEALED this partition is being handed over", "handed over"),
        ("RELOCATED this partition has moved to another server", "moved to another"),
        ("MISCONF Redis is configured to save RDB snapshots", "disk"),
        ("CLUSTERDOWN The cluster is down", "cluster is down"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "slots"),
        ("MOVED 1234 127.0.0.1:7000", "moved"),
        ("ASK 1234 127.0.0.1:7000", "moving this partition"),
        ("NOSCRIPT No matching script.", "script"),
        ("NOAUTH Authentication required.", "password"),
        ("NOPERM this user has no permissions", "rules"),
        ("UNBLOCKED force unblock from blocking operation", "role"),
        ("ERR max number of clients reached", "reached"),
    ],
)
def test_what_a_server_answers_is_understood_as_redis_py_reads_it(reply, says):
    """Which takes the first word off where it has a class for it."""
    refusal = translate(BaseParser.parse_error(reply))
    assert refusal.code is Code.UNAVAILABLE
    assert says in refusal.message


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
        (ConfigurationError("set maxmemory-policy noeviction"), "noeviction"),
    ],
)
def test_what_may_pass_is_unavailable(error, says):
    refusal = translate(error)
    assert refusal.code is Code.UNAVAILABLE
    assert refusal.temporary
    assert says in refusal.message
    assert "pw" not in refusal.message.split()


def test_a_refusal_says_what_cannot_be_done_and_when_to_come_back():
    refusal = translate(ConnectionResetError(), what="tickets cannot be used", retry_after=1)
    assert refusal.message == "tickets cannot be used: the server cannot be reached"
    assert refusal.retry_after == 1


def test_what_will_not_pass_is_internal_and_logged(caplog):
    refusal = translate(exceptions.ResponseError("WRONGTYPE Operation against a key"))
    assert refusal.code is Code.INTERNAL
    assert "WRONGTYPE" not in refusal.message
    (line,) = caplog.records
    assert line.message == "redis_call_refused"
    assert "WRONGTYPE" in line.reply
