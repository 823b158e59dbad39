"""What a result depends on besides its job: the environment, told by one hash."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from pathlib import Path

from autograder.grading.engine.service import package_folder

_LIBRARIES = ("ipython", "matplotlib", "numpy")


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions that a result depends on, by name."""
    return {
        "Python": platform.python_version(),
        "machine": platform.machine(),
        **{name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


@functools.cache
def fingerprint() -> str:
    """Return a hash of the environment: the package, the engine, Python and libraries."""
    digest = hashlib.sha256()
    for folder in (package_folder(), Path(__file__).parent):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".json"):
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
                digest.update(path.read_bytes())
    digest.update(json.dumps(versions()).encode())
    return digest.hexdigest()
