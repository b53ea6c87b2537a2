"""The broker on Redis Streams: one Lua file an operation."""
