"""All services in one process on the broker in memory: for trying out and for tests, without a fleet or durability."""
