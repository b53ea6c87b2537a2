"""The pipelining Redis client: connections, scripts, errors, and how every key is spelled. See README.md."""
