"""What Openline is compared with: small servers as their users would write them, each doing no more than it must."""
