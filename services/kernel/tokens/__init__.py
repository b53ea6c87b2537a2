"""Verifying JWTs against key sets; single-use tickets; revocations."""
