"""What a script's numbers may depend on outside this repository: the pins of the packages that it imports.

They follow from the script's imports and the lock alone, the same on every machine, whatever is installed there. A new
pin of scikit-learn reruns what imports it; a new pin of the test runner, or of a package that only another package
imports, reruns nothing: a security fix in an HTTP library must not cost a pretraining.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from cairn.errors import CairnError
from cairn.provenance.code import ROOT, closure

LOCK = Path("envs/requirements-py311.lock")
WANTED = Path("envs/requirements.in")  # torch stands here alone: its CPU and CUDA builds share only the version
DISTRIBUTIONS = {"PIL": "pillow", "ants": "antspyx", "sklearn": "scikit-learn", "yaml": "pyyaml"}
"""Packages that are imported under another name than they are installed under."""
NEUTRAL = frozenset({"pydantic", "pydantic_core"})
"""They check a configuration, which stands in the job's parameters already; no number comes from them."""
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)


def pins(script: Path, root: Path = ROOT) -> dict[str, str]:
    """Pinned versions, by package, of what a script imports.

    Args:
        script: the entry file.
        root: the folder of local packages; ``envs`` lies beside it.

    Raises:
        CairnError: when it imports a package that the lock does not pin.
    """
    names = {_normal(DISTRIBUTIONS.get(name, name)) for name in closure(script, root).packages - NEUTRAL}
    lock, wanted = root.parent / LOCK, root.parent / WANTED
    known = _pinned(wanted, wanted.stat().st_mtime_ns) | _pinned(lock, lock.stat().st_mtime_ns)
    absent = sorted(names - set(known))
    if absent:
        raise CairnError(
            f"{script}: imports {', '.join(absent)}, which {LOCK} does not pin.",
            f"Add it to {WANTED} and run `make lock`.", "lock",
        )  # fmt: skip
    return {name: known[name] for name in sorted(names)}


def pins_hash(script: Path, root: Path = ROOT) -> str:
    """First 16 hex digits of the hash over a script's pins."""
    text = "\n".join(f"{name}=={version}" for name, version in pins(script, root).items())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Versions that are really there, by package; build tags are left out (``2.13.0+cpu`` is torch 2.13.0)."""
    found = {"python": platform.python_version()}
    for name in sorted(packages):
        try:
            found[name] = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def _pinned(lock: Path, _mtime_ns: int) -> dict[str, str]:
    return {_normal(name): version for name, version in _PIN.findall(lock.read_text(encoding="utf-8"))}


def _normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
