"""Faults under clients of both packages, and a check of what each of them was told: `python -m loadtest.chaos`."""
