"""Expressions that panels share."""

from __future__ import annotations


def rate(metric: str, by: str = "", *, at: str = "") -> str:
    """A counter's increase a second, summed up; `at` are label matchers."""
    return f"{_sum(by)}(rate({metric}{_braces(at)}[$__rate_interval]))"


def total(metric: str, by: str = "", *, at: str = "") -> str:
    """A gauge, summed up."""
    return f"{_sum(by)}({metric}{_braces(at)})"


def quantile(part: float, histogram: str, by: str = "", *, at: str = "") -> str:
    """The value that this part of a histogram's observations is below."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({part:g}, {rate(f'{histogram}_bucket', labels, at=at)})"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"


def _braces(at: str) -> str:
    return f"{{{at}}}" if at else ""
