"""Verifying JWTs against keys; single-use tickets; revocations."""
