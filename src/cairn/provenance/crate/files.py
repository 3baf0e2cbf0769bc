"""Files of the crate, the workflow's own and those of the run; and the few terms that all entities share.

Identifiers come from paths and hashes, and everything is added in a sorted order, so that the same run gives the
same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cairn.io.atomic import sha256
from cairn.provenance.crate.run import Artefact, Run

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate  # type: ignore[import-untyped]

TERMS = {
    "sha256": "https://w3id.org/ro/terms/workflow-run#sha256",
    "resourceUsage": "https://w3id.org/ro/terms/workflow-run#resourceUsage",
    "buildInstructions": "https://codemeta.github.io/terms/buildInstructions",
}
"""Terms that RO-Crate 1.1 lacks. They stand in the crate itself, so that nobody needs a second context to read it."""
PIP_FORMAT = "https://pip.pypa.io/en/stable/reference/requirements-file-format/"
FORMATS = {
    ".css": "text/css", ".csv": "text/csv", ".gz": "application/gzip", ".html": "text/html", ".js": "text/javascript",
    ".json": "application/json", ".jsonl": "application/jsonl", ".md": "text/markdown", ".png": "image/png",
    ".parquet": "application/vnd.apache.parquet", ".py": "text/x-python", ".toml": "application/toml",
    ".tsv": "text/tab-separated-values", ".whl": "application/zip", ".yaml": "application/yaml",
}  # fmt: skip
TEXT = (".in", ".lock", ".sh", ".smk", ".txt", ".typed")

Properties = dict[str, Any]


def ref(identifier: str) -> dict[str, str]:
    """A JSON-LD reference."""
    return {"@id": identifier}


def refs(identifiers: Iterable[str]) -> Any:
    """References in the given order, without repeats; a single one stands alone, as RO-Crate asks."""
    found = [ref(identifier) for identifier in dict.fromkeys(identifiers)]
    return found[0] if len(found) == 1 else found


def artefact_id(artefact: Artefact) -> str:
    """Identifier of a file: its path in the crate, or an RFC 6920 name made of its hash.

    The path is part of the name, for two files may hold the same, such as two empty tables.
    """
    if artefact.place:
        return quote(artefact.place)
    digest = base64.urlsafe_b64encode(bytes.fromhex(artefact.sha256)).decode().rstrip("=")
    return f"ni:///sha-256;{digest}?path={quote(artefact.path, safe='')}"


def add_artefacts(crate: ROCrate, run: Run, parameters: Mapping[str, list[str]]) -> dict[str, str]:
    """Add every file that a card names, and the cards.

    Args:
        crate: gets the entities.
        run: what was run.
        parameters: identifiers of the workflow's parameters that a file stands for, by path.

    Returns:
        Identifiers by path.
    """
    for artefact in run.artefacts.values():
        properties = described(artefact.path, artefact.sha256, artefact.size)
        if artefact.path in parameters:
            properties["exampleOfWork"] = refs(parameters[artefact.path])
        if artefact.place:
            crate.add_file(artefact.source, artefact.place, properties=properties)
        else:
            crate.add_file(artefact_id(artefact), properties=properties)
    return {path: artefact_id(artefact) for path, artefact in run.artefacts.items()}


def add_source(crate: ROCrate, run: Run, lock: str) -> None:
    """Add those of the workflow's files that are not there yet; ``lock`` is what the environment is made from."""
    crate.add_jsonld({"@id": PIP_FORMAT, "@type": "WebPage", "name": "pip's requirements file format"})
    for name in run.source:
        if quote(name) not in crate:
            conforms = {"conformsTo": ref(PIP_FORMAT)} if name == lock else {}
            crate.add_file(run.root / name, name, properties=of_disk(run, name) | conforms)


def add_text(crate: ROCrate, name: str, text: str, **properties: Any) -> None:
    """Add a file that is made for the crate."""
    data = text.encode()
    own = described(name, hashlib.sha256(data).hexdigest(), len(data))
    crate.add_file(StringIO(text), name, properties=own | properties)


def first_line(path: Path) -> str:
    """What a file says of itself: the first line of its docstring."""
    match = re.match(r'\s*"""(.+?)(?:"""|\n)', path.read_text(encoding="utf-8"))
    return match[1].strip() if match else ""


def of_disk(run: Run, name: str) -> Properties:
    """Properties of a file of the repository."""
    path = run.root / name
    return described(name, sha256(path), path.stat().st_size)


def described(name: str, digest: str, size: int) -> Properties:
    """Properties that every file has: name, hash, size in bytes, media type."""
    suffix = Path(name).suffix
    kind = "text/plain" if suffix in TEXT or Path(name).name == "Snakefile" else FORMATS.get(suffix)
    return {
        "name": name, "sha256": digest, "contentSize": str(size), "encodingFormat": kind or "application/octet-stream",
    }  # fmt: skip
