"""Pure: what a channel delivers here next, and what to ask of the log when something is missing."""
