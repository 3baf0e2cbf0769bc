"""A hash of what a script does, not of how it is written.

Snakemake sees neither an edit of an imported module nor that a comment changes nothing. This hash covers the
syntax tree, without docstrings, of a script and of every module of this repository that it imports, directly or not.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

ASSETS = (".html", ".css", ".js")  # package data: part of what the modules beside them do
ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package


def code_hash(script: Path, root: Path = ROOT) -> str:
    """First 16 hex digits of the hash over the syntax trees of a script and its local imports, and their assets.

    Args:
        script: the entry file.
        root: folder that local packages are looked up in.
    """
    seen: dict[Path, str] = {}
    queue = [script.resolve()]
    while queue:
        path = queue.pop()
        if path in seen:
            continue
        digest, imports = _parsed(path, path.stat().st_mtime_ns, root)
        seen[path] = digest
        queue.extend(imports)
    for folder in {path.parent for path in seen}:
        for path in (f for suffix in ASSETS for f in folder.glob(f"*{suffix}")):
            seen[path] = hashlib.sha256(path.read_bytes()).hexdigest()
    names = {p: (p.relative_to(root).as_posix() if p.is_relative_to(root) else p.name) for p in seen}
    lines = sorted(f"{names[p]} {digest}" for p, digest in seen.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@cache
def _parsed(path: Path, _mtime_ns: int, root: Path) -> tuple[str, tuple[Path, ...]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = tuple(sorted(_local_imports(tree, path, root)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not _is_text(s)] or [ast.Pass()]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports


def _is_text(statement: ast.stmt) -> bool:
    """A docstring (or any bare string): it does nothing."""
    is_expr = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_expr and isinstance(statement.value.value, str)  # type: ignore[attr-defined]


def _local_imports(tree: ast.AST, path: Path, root: Path) -> set[Path]:
    found: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            found |= _files_of(name, root)
    return found - {path}


def _files_of(name: str, root: Path) -> set[Path]:
    """The files that importing ``name`` runs: the module, and the ``__init__`` of every package above it."""
    parts = name.split(".")
    if not (root / parts[0]).is_dir():
        return set()
    files = {root.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)}
    files.add(root.joinpath(*parts).with_suffix(".py"))
    return {f for f in files if f.is_file()}
