"""What the services share, in layers: http > broker, protocol, tokens, ops > redis > domain. README.md says more."""
