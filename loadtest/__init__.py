"""Load on a running system, and figures from it."""
