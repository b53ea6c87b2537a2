"""What a process needs to run: settings, refusing to start, logs, the version, garbage collection."""
