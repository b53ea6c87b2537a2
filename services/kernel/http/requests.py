"""Rate, errors and duration of a service's HTTP requests."""

from __future__ import annotations

from time import perf_counter

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


def count(service: str) -> Counter:
    """`openline_<service>_requests_total`, for `Requests`."""
    return Counter(
        f"openline_{service}_requests",
        "HTTP requests answered, by route template and status.",
        ("route", "method", "status"),
    )


def duration(service: str) -> Histogram:
    """`openline_<service>_request_seconds`, for `Requests`."""
    return Histogram(
        f"openline_{service}_request_seconds",
        "Time from a request's head to the end of its answer.",
        ("route",),
        buckets=SECONDS,
    )


class Requests:
    """ASGI middleware that counts and times requests. A label is a route's template, never a path: paths are endless."""

    def __init__(self, app: ASGIApp, *, requests: Counter, seconds: Histogram) -> None:
        self.app = app
        self._requests = requests
        self._seconds = seconds
        # Looked up once: routes, methods and statuses are few.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = perf_counter()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            requests, seconds = self._of(_route(scope), _method(scope), status)
            requests.inc()
            seconds.observe(perf_counter() - begun)

    def _of(self, route: str, method: str, status: int) -> tuple[Counter, Histogram]:
        key = (route, method, status)
        found = self._children.get(key)
        if found is None:
            found = self._requests.labels(*key), self._seconds.labels(route)
            self._children[key] = found
        return found


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path_format", "other")


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in ("GET", "POST", "DELETE", "OPTIONS", "HEAD") else "other"
