"""The HTTP API's calls, one file a kind of call."""
