"""A gateway in the fleet: what its parts add up to, its lease, its partitions, control, drain and presence."""
