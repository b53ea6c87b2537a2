"""The HTTP calls of auth."""
