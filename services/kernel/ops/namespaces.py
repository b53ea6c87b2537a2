"""Reading the namespaces file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from services.kernel.domain import namespaces
from services.kernel.domain.namespaces import Namespaces, NamespacesError
from services.kernel.domain.schemas import Schemas
from services.kernel.ops.refusal import refuse


def load(path: Path) -> Namespaces:
    """The namespaces that a TOML file defines. A file that cannot be used ends the process with one line."""
    try:
        known = namespaces.parse(tomllib.loads(path.read_text("utf-8")))
        Schemas(known)  # raises if one is not a JSON Schema
    except OSError as error:
        problem = error.strerror or str(error)
        refuse(f"OPENLINE_NAMESPACES={path}: {problem}; set it to the path of a namespaces file")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, NamespacesError) as error:
        refuse(f"OPENLINE_NAMESPACES={path}: {error}")
    return known
