"""Locust's users of Openline: who they are, what they count, and when a run has failed."""
