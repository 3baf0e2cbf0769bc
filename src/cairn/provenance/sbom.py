"""The software bill of materials: every package of the locked environment, as CycloneDX 1.6 JSON.

It is made from the locks alone, not from what is installed, so the same tree gives the same bytes on every machine.
What a job really ran on stands in its card.
"""

from __future__ import annotations

import json
import re
import tomllib
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cairn.errors import CairnError
from cairn.io.atomic import sha256

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

LOCK = "envs/requirements-py311.lock"
WANTED = "envs/requirements.in"  # torch is pinned here alone: its CPU and CUDA builds share only the version
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """One locked package."""

    name: str
    version: str
    hashes: tuple[str, ...]
    """SHA-256 of every archive of this version that may be installed; none for torch."""


def locked(root: Path) -> dict[str, Pin]:
    """Packages that the environment is locked to, by normalised name.

    Args:
        root: the repository's folder.

    Raises:
        CairnError: when a lock is missing.
    """
    pins = _read(root / WANTED) | _read(root / LOCK)
    return dict(sorted(pins.items()))


def sbom(root: Path) -> str:
    """The bill of materials of the locked environment, as CycloneDX JSON.

    The graph holds Cairn's own direct dependencies; the locks do not say what each package depends on in turn, so
    nothing is claimed about that.

    Args:
        root: the repository's folder.

    Raises:
        CairnError: when a lock is missing.
    """
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    pins = locked(root)
    components = {name: _component(pin) for name, pin in pins.items()}
    digest = sha256(root / LOCK)
    main = Component(name="cairn", version=project_version(root), type=ComponentType.APPLICATION, bom_ref="cairn")
    bom = Bom(components=components.values(), serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"ni:///sha-256;{digest}"))
    bom.metadata.component = main
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the locks have no time of their own
    bom.metadata.properties.update(
        [Property(name="cairn:lock", value=LOCK), Property(name="cairn:sha256", value=digest)]
    )
    bom.register_dependency(main, [components[name] for name in _wanted(root) if name in components])
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    # The library lists every package without dependencies, which in CycloneDX means that it has none.
    document["dependencies"] = [entry for entry in document["dependencies"] if entry.get("dependsOn")]
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def project_version(root: Path) -> str:
    """Cairn's version, as ``pyproject.toml`` says."""
    return str(tomllib.loads(_text(root / "pyproject.toml"))["project"]["version"])


def _component(pin: Pin) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    purl = PackageURL(type="pypi", name=pin.name, version=pin.version)
    archives = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{pin.name}/{pin.version}/"),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in pin.hashes],
    )
    return Component(
        name=pin.name, version=pin.version, purl=purl, bom_ref=purl.to_string(), external_references=[archives]
    )


def _read(lock: Path) -> dict[str, Pin]:
    """Pins of one file; hashes follow their pin on lines of their own."""
    found: dict[str, Pin] = {}
    current = ""
    for line in _text(lock).splitlines():
        if pin := _PIN.match(line):
            current = _normal(pin[1])
            found[current] = Pin(current, pin[2], ())
        if (digest := _HASH.search(line)) and current:
            found[current] = Pin(current, found[current].version, (*found[current].hashes, digest[1]))
    return found


def _wanted(root: Path) -> list[str]:
    """Names that Cairn asks for itself."""
    lines = _text(root / WANTED).splitlines()
    return sorted({_normal(match[0]) for line in lines if (match := _NAME.match(line))})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CairnError(f"{path}: no such file.", "Run from a whole checkout of the repository.", "lock") from None


def _normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
