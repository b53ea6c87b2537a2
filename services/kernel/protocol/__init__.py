"""Bytes of clients to commands, and events to bytes, in JSON and MessagePack. No I/O, no clock, no tasks."""
