"""What the words mean: channels, positions, permissions, limits, error codes. No I/O, no clock, no tasks."""
