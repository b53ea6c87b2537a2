"""The store of messages and presence: `port` says what it guarantees, `memory` and `redis` keep it."""
