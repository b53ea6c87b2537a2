"""A warning when OPENLINE_ADMIN_NETWORKS was not given although strangers may reach the service."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import structlog

from services.kernel.ops.settings import Common

_log = structlog.get_logger(__name__)


def warn_if_assumed(settings: Common) -> None:
    """Log a warning when strangers may reach a service whose OPENLINE_ADMIN_NETWORKS was not given.

    Private addresses are let in then. Behind a load balancer that hides its clients' addresses everybody has one.
    """
    if "admin_networks" in settings.model_fields_set or _is_here(settings.public_url):
        return
    _log.warning(
        "admin_networks_assumed",
        networks=[str(network) for network in settings.admin_networks],
        hint="name your back ends' networks in OPENLINE_ADMIN_NETWORKS",
    )


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
