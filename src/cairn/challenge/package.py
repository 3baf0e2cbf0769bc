"""An entry's build context: a folder from which Apptainer or Docker builds an inference-only image, offline if need be.

app/predict.py, app/lib/, app/bundle/    what runs, and what it runs with
requirements.txt, torch.txt, uv.txt      pinned: what inference imports, and its needs; torch, which has no hash; uv
entry.def, entry-offline.def, Dockerfile how to build it
README.md, entry.json                    for the entrant; sizes and hashes
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from cairn.challenge.bundle import Bundle, write_bundle
from cairn.challenge.contract import suffix_of
from cairn.errors import CairnError
from cairn.io.atomic import write_json, write_text
from cairn.provenance.cards import hashes
from cairn.provenance.code import closure
from cairn.provenance.environment import LOCK, pins

SCRIPT = Path("containers/predict.py")
TORCH = "torch"
UNUSED = frozenset({"pyarrow", "transformers"})
"""Imported by functions that write tables of embeddings, or build an encoder of slices: no entry calls them."""
CUDA = ("nvidia-", "cuda-", "triton")
"""What a CUDA build of torch asks for, and the build for CPU does not."""
RECIPES = ("entry.def", "entry-offline.def", "Dockerfile", "README.md")
UV = "envs/uv.lock"
APPTAINER = "apptainer"


def package(bundle: Bundle, out: Path, repository: Path) -> dict[str, Any]:
    """Write a build context into the new folder ``out``, whole or not at all; what ``entry.json`` says.

    Args:
        bundle: the model.
        out: the folder; it must not exist.
        repository: of Cairn: its ``containers/``, ``src/`` and locks.

    Raises:
        CairnError: when ``out`` exists, or ``repository`` is none, or the model is not its card's.
    """
    if out.exists():
        raise CairnError(f"{out}: is there already.", "Name a new folder, or remove it.", "exists")
    if not (repository / SCRIPT).is_file():
        raise CairnError(f"{repository.resolve()}: no {SCRIPT}.", "Run this in the repository's folder.", "missing")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".package-") as place:
        made = Path(place) / "context"
        card = _write(bundle, made, repository)
        os.replace(made, out)
    return card


def _write(bundle: Bundle, out: Path, repository: Path) -> dict[str, Any]:
    app, script = out / "app", repository / SCRIPT
    write_bundle(bundle, app / "bundle")
    shutil.copyfile(script, app / "predict.py")
    _copy_source(script, repository / "src", app / "lib")
    pinned, torch = requirements(script, repository)
    write_text(out / "requirements.txt", pinned)
    write_text(out / "torch.txt", torch)
    shutil.copyfile(repository / UV, out / "uv.txt")
    for name in RECIPES:
        shutil.copyfile(repository / "containers" / name, out / name)
    files = hashes([out])
    job = bundle.job
    card = {
        "run": job.run, "task": job.task.name, "kind": job.task.kind, "seed": job.seed,
        "output": suffix_of(job.task.kind), "required": list(job.task.required),
        "any_of": [list(group) for group in job.task.any_of], "optional": list(job.task.optional),
        "app_mb": round(sum(p.stat().st_size for p in app.rglob("*") if p.is_file()) / 1e6, 1),
        "files": {Path(name).relative_to(out).as_posix(): digest for name, digest in files.items()},
    }  # fmt: skip
    write_json(out / "entry.json", card)
    return card


def _copy_source(script: Path, source: Path, out: Path) -> None:
    """The modules that inference imports, and the data files beside them."""
    for path in closure(script, source).files:
        if path.is_relative_to(source):
            target = out / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def requirements(script: Path, repository: Path) -> tuple[str, str]:
    """Locked lines of what a script imports and what that needs in turn; and the pin of torch, which has no hash.

    The needs of a package are those that its installed metadata tell, for this machine, without extras.

    Raises:
        CairnError: when a package is not installed, or not locked.
    """
    imported = pins(script, repository / "src")
    wanted, waiting = set[str](), [*(name for name in imported if name not in UNUSED), "pydantic"]
    while waiting:
        name = _plain(waiting.pop())
        if name not in wanted and not name.startswith(CUDA):
            wanted.add(name)
            waiting += _needs(name)
    lines = _locked((repository / LOCK).read_text(encoding="utf-8"))
    lacking = sorted(wanted - {TORCH} - set(lines))
    if lacking:
        raise CairnError(f"{LOCK}: does not pin {', '.join(lacking)}.", "Run `make lock`.", "lock")
    return "".join(lines[name] for name in sorted(wanted - {TORCH})), f"{TORCH}=={imported[TORCH]}\n"


def _needs(name: str) -> list[str]:
    try:
        given = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        raise CairnError(f"{name} is not installed.", "Make the environment again.", "environment") from None
    parsed = [Requirement(line) for line in given]
    return [r.name for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]


def _locked(text: str) -> dict[str, str]:
    """Every pin of a lock with its hashes, by package; comments left out."""
    found: dict[str, str] = {}
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", text):
        lines = [line for line in block.splitlines() if line.strip() and not line.strip().startswith("#")]
        if lines and "==" in lines[0]:
            found[_plain(lines[0].split("==")[0])] = "\n".join(lines).rstrip(" \\") + "\n"
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def machine_base() -> list[str]:
    """Folders by which an entry's folder runs on this machine's own system and Python, with no image built.

    They are for `cairn.sandbox.image.open_image`, and for entries of one's own alone.
    """
    own = [sys.prefix, sys.base_prefix]
    system = ["/usr", "/bin", "/lib", "/lib64"]
    wanted = [place for place in dict.fromkeys([*own, *system]) if os.path.lexists(place)]
    return [p for p in wanted if not any(p != other and Path(p).is_relative_to(other) for other in wanted)]


def build(context: Path, sif: Path, offline: tuple[Path, Path] | None = None) -> float:
    """Build a ``.sif`` file from a context by Apptainer; its size in MB.

    Args:
        context: what `package` wrote; it stays as it is.
        sif: the image.
        offline: to build without a network, a base image (any Debian with Python 3.11 and its venv) and a folder of
            wheels.

    Raises:
        CairnError: when Apptainer is not there, or fails (code ``engine``). ``APPTAINER_COMMAND`` may name
            another command.
    """
    command = os.environ.get("APPTAINER_COMMAND") or APPTAINER
    if not shutil.which(command):
        reason = f"'{command}' is not installed, so {sif} cannot be built."
        raise CairnError(reason, f"Install Apptainer, or build {context} elsewhere.", "engine")
    target = sif.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    recipe = "entry-offline.def" if offline else "entry.def"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as place:
        work, image = Path(place), Path(place) / "made.sif"
        for path in context.resolve().iterdir():
            (work / path.name).symlink_to(path)
        for name, path in zip(("base.sif", "wheels"), offline or (), strict=False):
            (work / name).symlink_to(path.resolve())
        line = [command, "build", str(image), recipe]
        done = subprocess.run(line, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode:
            last = " ".join(done.stderr.strip().splitlines()[-3:])
            raise CairnError(f"Apptainer could not build {sif}: {last}", f"See {context / recipe}.", "engine")
        os.replace(image, target)
    return target.stat().st_size / 1e6
