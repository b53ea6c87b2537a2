"""What a test starts ends with the process that started it, also when that is killed: pass it as `preexec_fn`."""

from __future__ import annotations

import signal
from functools import partial

from deploy.local.processes import die_with_parent

tied = partial(die_with_parent, signal.SIGKILL)
tied_with_children = partial(die_with_parent, signal.SIGTERM)
"""For what ends its own children when it is asked to, such as nginx."""
