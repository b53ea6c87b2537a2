"""What one address may send, and what others feel of it."""
