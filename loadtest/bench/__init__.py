"""`make bench`: what a delivery, a connection, a handshake and a publish cost, beside what else one could have picked."""
