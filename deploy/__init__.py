"""How Openline is deployed: locally, with Compose, on Kubernetes."""
