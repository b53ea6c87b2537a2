"""What a failed Redis call means to our callers; the one place where Redis' errors become ours."""

from __future__ import annotations

import logging

from redis import exceptions

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.configuration import ConfigurationError

_log = logging.getLogger(__name__)

RELOCATED = "this partition has moved to another server"

_AWAY = {
    "READONLY": "the server is not the master now",
    "MASTERDOWN": "the server has lost its master",
    "LOADING": "the server is loading its data",
    "CLUSTERDOWN": "the cluster is down",
    "OOM": "the server is out of memory",
    "RESERVE": "the server's memory for messages is used up",
    "SEALED": "this partition is being handed over",
    "RELOCATED": RELOCATED,
    "MISCONF": "the server cannot write its disk",
    "NOREPLICAS": "too few replicas are in reach",
    "UNBLOCKED": "the server has changed its role",
    "BUSY": "the server is busy with a script",
    "TRYAGAIN": "the cluster is moving its slots",
    "MOVED": "the cluster has moved this partition",
    "ASK": "the cluster is moving this partition",
    "NOSCRIPT": "the server has forgotten a script",
    "NOAUTH": "the server wants a password",
    "WRONGPASS": "the server refuses the password",
    "NOPERM": "the server's access rules refuse a command",
}
"""First words of Redis' error replies that leave our data as it was, and what they say; no URL and no password."""


class NoSentinelError(exceptions.ConnectionError):
    """None of the Sentinels can be asked where the master is."""


class NoNodeError(exceptions.ConnectionError):
    """None of the nodes of a cluster can be asked where the masters are."""


class NoMasterError(exceptions.ConnectionError):
    """No node of the cluster serves a partition's slot."""


class NoPasswordError(exceptions.ConnectionError):
    """No password can be had now; the message says why, and holds none."""


_DEMOTED = (exceptions.ReadOnlyError, exceptions.MasterDownError)

_BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (NoSentinelError, "no Sentinel can be reached"),
    (NoNodeError, "no node of the cluster can be reached"),
    (NoMasterError, "no node of the cluster serves this partition"),
    (exceptions.BusyLoadingError, _AWAY["LOADING"]),
    (exceptions.AuthenticationError, "the server refuses user name or password"),
    (exceptions.NoScriptError, _AWAY["NOSCRIPT"]),
    (exceptions.ReadOnlyError, _AWAY["READONLY"]),
    (exceptions.OutOfMemoryError, _AWAY["OOM"]),
    (exceptions.MasterDownError, _AWAY["MASTERDOWN"]),
    (exceptions.ClusterDownError, _AWAY["CLUSTERDOWN"]),
    (exceptions.TryAgainError, _AWAY["TRYAGAIN"]),
    (exceptions.MovedError, _AWAY["MOVED"]),
    (exceptions.AskError, _AWAY["ASK"]),
    (exceptions.NoPermissionError, _AWAY["NOPERM"]),
    (exceptions.TimeoutError, "the server does not answer"),
    (exceptions.ConnectionError, "the server cannot be reached"),
    (OSError, "the server cannot be reached"),
)


def is_demoted(error: Exception) -> bool:
    """Whether a reply says that this server is not the partition's master, so that another one is."""
    return isinstance(error, _DEMOTED) or str(error).startswith(("UNBLOCKED", "RELOCATED"))


def is_sealed(error: OpenlineError) -> bool:
    """Whether a partition's writers are refused since it is being handed over."""
    return error.message.endswith(_AWAY["SEALED"])


WHAT = "the message store is unavailable"

_WAITS = {_AWAY["OOM"]: 5.0, _AWAY["RESERVE"]: 5.0, _AWAY["SEALED"]: 1.0, RELOCATED: 1.0}
"""Reasons of which is known after how many seconds it is worth another try."""


def unavailable(
    reason: str, *, what: str = WHAT, retry_after: float | None = None
) -> OpenlineError:
    """The refusal of a call that may succeed later: `what` cannot be done, and the reason."""
    return OpenlineError(Code.UNAVAILABLE, f"{what}: {reason}", retry_after=retry_after)


def translate(
    error: Exception, *, what: str = WHAT, retry_after: float | None = None
) -> OpenlineError:
    """Our error for one of a connection's: `unavailable` where waiting may help, else `internal`, which is logged.

    `what` begins the message of an `unavailable`.
    """
    reason = _reason(error)
    if reason is not None:
        return unavailable(reason, what=what, retry_after=_WAITS.get(reason, retry_after))
    _log.error("redis_call_refused", extra={"reply": str(error)})
    return OpenlineError(Code.INTERNAL, "the message store refused a call")


def _reason(error: Exception) -> str | None:
    """Why waiting may help; None where it will not."""
    if isinstance(error, ConfigurationError | NoPasswordError):
        return str(error)
    for kind, reason in _BY_CLASS:
        if isinstance(error, kind):
            return reason
    text = str(error)
    # A script's refusal arrives as "READONLY ...", or as "... script: <sha>, on @user_script:1: -READONLY ..."
    for word, reason in _AWAY.items():
        if text.startswith(word) or f"-{word} " in text:
            return reason
    return None
