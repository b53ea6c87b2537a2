"""One channel's subscribers: encode once, write many; the slow-consumer policy."""
