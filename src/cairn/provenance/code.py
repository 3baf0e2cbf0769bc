"""A hash of what a script does, not of how it is written; and which foreign packages it imports.

Snakemake sees neither an edit of an imported module nor that a comment changes nothing. This hash covers the
syntax tree, without docstrings, of a script and of every module of this repository that it imports, directly or not.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cairn.errors import CairnError
from cairn.io.atomic import write_text

ASSETS = (".html", ".css", ".js")  # package data: part of what the modules beside them do
ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package
MEMORY = Path(".snakemake/cairn-code")  # beside it


@dataclass(frozen=True)
class Closure:
    """A script with all that it imports from this repository."""

    files: dict[Path, str]
    """Digest of each file: of the syntax tree, or of the bytes of an asset."""
    packages: frozenset[str]
    """Top-level names of what it imports from elsewhere, the standard library left out."""


@dataclass(frozen=True)
class _Module:
    digest: str
    local: tuple[Path, ...]
    foreign: frozenset[str]


def closure(script: Path, root: Path = ROOT) -> Closure:
    """Everything that running a script runs.

    Args:
        script: the entry file.
        root: folder that local packages are looked up in.
    """
    files: dict[Path, str] = {}
    packages: set[str] = set()
    queue = [script.resolve()]
    while queue:
        path = queue.pop()
        if path in files:
            continue
        module = _parsed(path, path.stat().st_mtime_ns, root)
        files[path] = module.digest
        packages |= module.foreign
        queue.extend(module.local)
    for folder in {path.parent for path in files}:
        for name in os.listdir(folder):
            if name.endswith(ASSETS):
                files[folder / name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return Closure(files, frozenset(packages))


def code_hash(script: Path, root: Path = ROOT) -> str:
    """First 16 hex digits of the hash over the syntax trees of a script and its local imports, and their assets."""
    found = closure(script, root).files
    lines = sorted(f"{_named(path, root)} {digest}" for path, digest in found.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@cache
def _named(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


@cache
def _parsed(path: Path, _mtime_ns: int, root: Path) -> _Module:
    digest, names = _facts(path.read_bytes(), root.parent / MEMORY)
    local = {file for name in names for file in _files_of(name, root)} - {path}
    tops = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    foreign = {top for top in tops if not (root / top).is_dir()}
    return _Module(digest, tuple(sorted(local)), frozenset(foreign))


def _facts(source: bytes, memory: Path) -> tuple[str, list[str]]:
    """Digest of a source's syntax tree, and the names that it imports.

    Parsing all modules takes a second, so what a content gave is kept, under its hash: in a file for each interpreter,
    where Snakemake has a folder for its own records.
    """
    file = memory / f"{sys.implementation.cache_tag}-{hashlib.sha256(source).hexdigest()[:32]}.json"
    try:
        digest, names = json.loads(file.read_text())
    except (OSError, ValueError):
        digest, names = _parse(source)
        if memory.parent.is_dir():
            with suppress(OSError, CairnError):
                write_text(file, json.dumps([digest, names]))
    return digest, names


def _parse(source: bytes) -> tuple[str, list[str]]:
    tree = ast.parse(source)
    names = sorted(_imported(tree))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not _is_text(s)] or [ast.Pass()]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), names


def _is_text(statement: ast.stmt) -> bool:
    """A docstring (or any bare string): it does nothing."""
    is_expr = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_expr and isinstance(statement.value.value, str)  # type: ignore[attr-defined]


def _imported(tree: ast.AST) -> set[str]:
    """Dotted names that a module imports; of ``from a import b`` both ``a`` and ``a.b``, for ``b`` may be a module."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@cache
def _files_of(name: str, root: Path) -> frozenset[Path]:
    """The files that importing ``name`` runs: the module, and the ``__init__`` of every package above it."""
    parts = name.split(".")
    if parts[0] in sys.stdlib_module_names or not (root / parts[0]).is_dir():
        return frozenset()
    folders = ["/".join(parts[:i]) for i in range(1, len(parts) + 1)]
    files = [*(f"{root}/{folder}/__init__.py" for folder in folders), f"{root}/{folders[-1]}.py"]
    return frozenset(Path(f) for f in files if os.path.isfile(f))
