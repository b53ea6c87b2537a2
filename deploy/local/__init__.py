"""The whole system as processes on this machine: `python -m deploy.local.run`."""
