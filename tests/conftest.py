"""What holds for all tests.

Continuous integration tries the same examples each time, so that a red run is a change's doing and can be repeated;
a developer's machine tries new ones, and keeps those that failed. `--hypothesis-profile=quick` tries a fifth of them.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True, database=None, print_blob=True)
settings.register_profile("quick", max_examples=20)
if os.environ.get("CI"):
    settings.load_profile("ci")
