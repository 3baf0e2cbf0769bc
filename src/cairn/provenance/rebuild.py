"""Make a number again, in a clean folder, from the raw files; then compare it, and all that it rests on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cairn.config.runs import read_runs
from cairn.errors import CairnError
from cairn.io.atomic import read_json, write_json
from cairn.provenance.lineage import RESOURCES, Lineage, Step, read_lineage

SOURCE = ("Snakefile", "rules", "workflow", "src", "config", "envs", "profiles", "pyproject.toml")
PACKAGES = f"{RESOURCES}/packages"
GPU_TOLERANCE = 0.02
"""On a GPU sums come in another order: metrics may differ by so much (years for an age error), bytes may all differ."""


@dataclass
class Comparison:
    """A number made twice."""

    before: float | None
    after: float | None
    bytes_equal: bool
    """Whether the tables of scores are equal byte by byte."""
    gpu: bool
    """Whether a GPU had a part in either."""
    stages: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Files that are equal, and all, by stage, from the raw files on; of each job the same files as its card names."""
    first: str = ""
    """The first file, from the raw files on, that differs."""
    reasons: list[str] = field(default_factory=list)
    """What differed between the two jobs that made it."""

    @property
    def same(self) -> bool:
        """Equal bytes; where a GPU had a part, values within `GPU_TOLERANCE`."""
        if self.bytes_equal:
            return True
        if not self.gpu or self.before is None or self.after is None:
            return False
        return abs(self.before - self.after) <= GPU_TOLERANCE


def rebuild(
    results: Path, scores: Path, read: Callable[[], float | None], folder: Path, cores: str = "all"
) -> Comparison:
    """Run the workflow for one number in ``folder``, and compare.

    Args:
        results: folder of the experiment, ``results/{experiment}``, relative to the current, the repository's folder.
        scores: the file that the number stands in, from the same folder on.
        read: reads the number from ``scores``; called here and in ``folder``.
        folder: an empty or absent folder.
        cores: as Snakemake takes them.

    Raises:
        CairnError: for a folder in use, results without their configuration, or a workflow that fails.
    """
    before, lineage = read(), read_lineage(results)
    prepare(results, folder)
    command = [sys.executable, "-m", "snakemake", scores.as_posix(), "--cores", cores, "--configfile", "rebuild.json"]
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = os.environ | {"PYTHONPATH": str((folder / "src").resolve()), "PATH": search}
    done = subprocess.run(command, cwd=folder, env=environment, check=False)
    if done.returncode:
        raise CairnError(
            f"The workflow failed in {folder}.", "Its messages stand above; the folder is kept.", "rebuild"
        )
    with chdir(folder):  # cards name files from the repository's folder on
        after, again = read(), read_lineage(results)
    return compare(lineage, again, scores.as_posix(), before, after)


def prepare(results: Path, folder: Path) -> None:
    """Put into ``folder`` what a clean checkout has, the configuration, and the raw files; no result."""
    if folder.exists() and any(folder.iterdir()):
        raise CairnError(f"{folder} is not empty.", "Name a new folder with --into.", "exists")
    if not (results / "config.json").is_file():
        raise CairnError(f"{results}/config.json is missing.", "Run `snakemake --cores all` once more.", "missing")
    folder.mkdir(parents=True, exist_ok=True)
    for name in SOURCE:
        if Path(name).is_dir():
            shutil.copytree(name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif Path(name).is_file():
            shutil.copy2(name, folder / name)
    config = read_json(results / "config.json")
    write_json(folder / "rebuild.json", config)
    packages = results.parent / PACKAGES
    if packages.is_dir():  # raw files that a registry may no longer have; each rule checks their pinned hash
        shutil.copytree(packages, folder / packages)
    for place in (name for name in _real_data(config) if not (folder / name).exists()):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).symlink_to(Path(place).resolve())


def _real_data(config: Mapping[str, Any]) -> list[str]:
    """What the configuration and its runs table name inside the repository's folder: data, foreign weights, images."""
    named = [d.get(key, "") for d in config["datasets"].values() for key in ("root", "labels")]
    named += [name for run in read_runs(Path(config["runs"])) for name in (run.weights, run.mapping, run.image)]
    inside = sorted({name for name in named if name and not Path(name).is_absolute() and Path(name).exists()})
    return [name for name in inside if not any(Path(o) in Path(name).parents for o in inside)]


def compare(before: Lineage, after: Lineage, scores: str, old: float | None, new: float | None) -> Comparison:
    """Compare two chains to ``scores``, from the raw files on."""
    made, again = before.chain([scores]), {step.card: step for step in after.chain([scores])}
    equal = (
        before.cards[before.makers[scores]]["outputs"][scores] == after.cards[after.makers[scores]]["outputs"][scores]
    )
    found = Comparison(old, new, equal, any(_gpu(step) for step in [*made, *again.values()]))
    for step in reversed(made):
        other = again.get(step.card)
        outputs = other.facts["outputs"] if other else {}
        names = list(step.facts["outputs"])
        same = [name for name in names if outputs.get(name) == step.facts["outputs"][name]]
        had = found.stages.get(step.facts["stage"], (0, 0))
        found.stages[step.facts["stage"]] = (had[0] + len(same), had[1] + len(names))
        if len(same) < len(names) and not found.first:
            found.first = next(name for name in names if name not in same)
            found.reasons = differences(step, other)
    return found


def differences(step: Step, other: Step | None) -> list[str]:
    """What two jobs of one card had not in common."""
    if other is None:
        return ["no job made it this time"]
    words = {"code": "code", "config_sha256": "configuration", "inputs": "inputs", "hardware": "hardware"}
    found = [word for key, word in words.items() if step.facts[key] != other.facts[key]]
    old, new = (s.facts["environment"]["packages"] for s in (step, other))
    found += [f"{n} {old.get(n)} and {new.get(n)}" for n in sorted(old.keys() | new.keys()) if old.get(n) != new.get(n)]
    return found or ["nothing that the cards record"]


def _gpu(step: Step) -> bool:
    return str(step.facts["facts"].get("device", "cpu")) != "cpu"


def report(title: str, found: Comparison) -> str:
    """The comparison in words; ``title`` names the number."""
    lines = [f"{title}: {_number(found.before)}, rebuilt {_number(found.after)}"]
    lines += [f"  {stage:<18} {same} of {count} files equal" for stage, (same, count) in found.stages.items()]
    if found.bytes_equal:
        lines.append("The same: the scores are equal byte by byte.")
    elif found.same:
        lines.append(f"The same within {GPU_TOLERANCE}, the tolerance where a GPU has a part.")
    else:
        lines.append("NOT the same.")
    if found.first:
        lines.append(f"First difference: {found.first} (differing between the two jobs: {', '.join(found.reasons)}).")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6f}"
