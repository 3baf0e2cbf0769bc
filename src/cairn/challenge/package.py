"""An entry's build context: a folder from which Apptainer or Docker builds an inference-only image, offline if need be.

app/predict.py, app/lib/, app/bundle/    what runs, and what it runs with
requirements.txt                         pinned, hashed: what inference imports, and its needs; torch stands apart
entry.def, entry-offline.def, Dockerfile how to build it
README.md, entry.json                    for the entrant; sizes and hashes
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from cairn.challenge.bundle import Bundle, write_bundle
from cairn.challenge.contract import suffix_of
from cairn.errors import CairnError
from cairn.io.atomic import write_json, write_text
from cairn.provenance.code import closure
from cairn.provenance.environment import LOCK, pins

TORCH = "torch"
RECIPES = ("entry.def", "entry-offline.def", "Dockerfile", "README.md")
APPTAINER = "apptainer"


def package(bundle: Bundle, out: Path, repository: Path) -> dict[str, Any]:
    """Write a build context into the new folder ``out``; what ``entry.json`` says.

    Args:
        bundle: the model.
        out: the folder; it must not exist.
        repository: of Cairn: its ``containers/``, ``src/`` and lock.

    Raises:
        CairnError: when ``out`` exists, or the model is not its card's.
    """
    if out.exists():
        raise CairnError(f"{out}: is there already.", "Name a new folder, or remove it.", "exists")
    script = repository / "containers/predict.py"
    app = out / "app"
    app.mkdir(parents=True)
    files = write_bundle(bundle, app / "bundle")
    shutil.copyfile(script, app / "predict.py")
    _copy_source(script, repository / "src", app / "lib")
    write_text(out / "requirements.txt", requirements(script, repository))
    for name in RECIPES:
        shutil.copyfile(repository / "containers" / name, out / name)
    job = bundle.job
    size = sum(p.stat().st_size for p in app.rglob("*") if p.is_file())
    card = {
        "title": bundle.title, "run": job.run, "task": job.task.name, "kind": job.task.kind, "seed": job.seed,
        "output": suffix_of(job.task.kind), "required": list(job.task.required),
        "any_of": [list(group) for group in job.task.any_of], "optional": list(job.task.optional),
        "app_mb": round(size / 1e6, 1), "bundle": files,
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


def requirements(script: Path, repository: Path) -> str:
    """Locked lines of what a script imports and what that needs in turn; torch, which has no hash in the lock, last.

    The needs of a package are those that its installed metadata tell, for this machine, without extras.

    Raises:
        CairnError: when a package is not installed, or not locked.
    """
    wanted, waiting = set[str](), [*pins(script, repository / "src"), "pydantic"]
    torch = pins(script, repository / "src")[TORCH]
    while waiting:
        name = _plain(waiting.pop())
        if name in wanted or name == TORCH:
            continue
        wanted.add(name)
        waiting += _needs(name)
    lines = _locked((repository / LOCK).read_text(encoding="utf-8"))
    lacking = sorted(wanted - set(lines))
    if lacking:
        raise CairnError(f"{LOCK}: does not pin {', '.join(lacking)}.", "Run `make lock`.", "lock")
    return "".join(lines[name] for name in sorted(wanted)) + f"# by its own step, without a hash: {TORCH}=={torch}\n"


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


def build(context: Path, sif: Path, recipe: str = "entry.def") -> float:
    """Build a ``.sif`` file from a context by Apptainer; its size in MB.

    Args:
        context: what `package` wrote.
        sif: the image.
        recipe: ``entry.def``, or ``entry-offline.def`` with ``base.sif`` and ``wheels/`` in the context.

    Raises:
        CairnError: when Apptainer is not there, or fails (code ``engine``). ``APPTAINER_COMMAND`` may name
            another command.
    """
    command = os.environ.get("APPTAINER_COMMAND") or APPTAINER
    if not shutil.which(command):
        reason = f"'{command}' is not installed, so {sif} cannot be built."
        raise CairnError(reason, f"Install Apptainer, or build {context} elsewhere.", "engine")
    target = sif.resolve()
    done = subprocess.run(
        [command, "build", "--force", str(target), recipe], cwd=context, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = " ".join(done.stderr.strip().splitlines()[-3:])
        raise CairnError(f"Apptainer could not build {sif}: {last}", f"See {context / recipe}.", "engine")
    return target.stat().st_size / 1e6
