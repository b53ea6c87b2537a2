"""A random-schedule simulator: the real hub against a modelled store, clients that keep count, and faults."""
