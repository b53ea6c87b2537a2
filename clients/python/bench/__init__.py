"""What the client costs."""
