"""What the auth service counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from services.kernel.http import requests
from services.kernel.ops.tasks import TaskFailures
from services.kernel.ops.version import build_info

BUILD = build_info("auth")
READY = Gauge("openline_auth_ready", "1 while the database answers")
TASK_FAILURES = TaskFailures("auth")
REQUESTS = requests.count("auth")
REQUEST_SECONDS = requests.duration("auth")
TOKENS = Counter("openline_auth_tokens_total", "Tokens issued", ["grant"])
FAILURES = Counter("openline_auth_failures_total", "Refusals by error", ["error"])
LOGINS = Counter("openline_auth_logins_total", "Password checks by outcome", ["outcome"])
REGISTRATIONS = Counter("openline_auth_registrations_total", "Users registered")
TICKETS = Counter("openline_auth_tickets_total", "Tickets issued")
REVOCATIONS = Counter("openline_auth_revocations_total", "Revocations by kind", ["kind"])
REUSES = Counter("openline_auth_refresh_reuses_total", "Refresh tokens used twice")
HASHING = Histogram(
    "openline_auth_hash_seconds",
    "Time to hash or check a password, waiting included",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)

# The series that alerts use exist with the value 0: `rate()` misses the first increment of a new series.
for _outcome in ("ok", "refused"):
    LOGINS.labels(_outcome)
