"""Planned work on Redis without a reset: a server restarts, or a replica takes over, and no reader is told anything."""
