"""One connection: its commands, permissions, subscriptions, heartbeat and expiry."""
