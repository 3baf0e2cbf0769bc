"""Measure preprocessing against the embedded cohort, before and after a change, and print it as markdown tables.

    python docs/benchmarks/preprocess.py PACKAGES FOLDER:SPACING:COUNT [...] --before REVISION
    python docs/benchmarks/preprocess.py --make FOLDER --donors DONORS

``FOLDER`` holds ``raw/`` and ``truth/`` of an experiment's cohort; ``COUNT`` of its sessions, from all data sets in turn,
are preprocessed on a grid of ``SPACING`` mm, by the code of ``REVISION`` (out of git) and by the code that is here, each
in a process of its own on one thread, one after the other. ``--make`` writes a small cohort at clinical resolution from
the donors of an experiment. Seconds are processor time, which another job on the machine stretches but little.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
LAST = "pack, figure"
MADE = {
    "age": {"role": "age", "split": "test", "subjects": 3, "sites": ["B", "C"]},
    "pretrain": {"role": "pretrain", "split": "pretrain", "subjects": 3, "sites": ["A1", "A2", "P1"]},
}
Row = dict[str, Any]


def make(folder: Path, donors: Path) -> None:
    """A few subjects whose tissue map has voxels of 1 mm, scanned as their sites scan, from donors as they lie there."""
    from cairn.cohort.shard import make_shard
    from cairn.config.cohort import CohortConfig, CohortSet

    config = CohortConfig.model_validate({"voxel_mm": 1.0, "coarsen": 1.0})
    for name, spec in MADE.items():
        files = sorted(donors.glob("*.safetensors"))
        places = folder / "raw" / name, folder / "truth" / name
        make_shard(config, name, CohortSet.model_validate(spec), 0, 1, files, *places)


def sessions(folder: Path, count: int) -> list[tuple[str, str]]:
    """``count`` sessions, (data set, subject/session): of each data set in turn, spread over it."""
    keys = {}
    for path in sorted((folder / "truth").glob("*/anatomy")):
        entries = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(path.glob("*.json"))]
        keys[path.parent.name] = sorted(key for entry in entries for key in entry)
    rounds = -(-count // len(keys))
    turn = [(name, k[i * len(k) // rounds]) for i in range(rounds) for name, k in keys.items()]
    return list(dict.fromkeys(turn))[:count]


@contextmanager
def processor_clock(self: Any, step: str) -> Iterator[None]:
    """In place of the ledger's wall clock."""
    start = time.process_time()
    try:
        yield
    finally:
        self.seconds[step] = self.seconds.get(step, 0.0) + time.process_time() - start


def child(packages: Path, folder: Path, spacing: float, count: int) -> None:
    """Preprocess the sessions with whichever code is on the path; a line of JSON a session."""
    from cairn.config.preprocess import PreprocessConfig
    from cairn.preprocess.ledger import Ledger
    from cairn.preprocess.resources import Resources

    Ledger.clock = processor_clock  # type: ignore[method-assign, assignment]
    config, resources = PreprocessConfig.model_validate({"grid": {"spacing_mm": spacing}}), Resources(packages)
    for dataset, key in sessions(folder, count):
        truths = [
            json.loads(f.read_text(encoding="utf-8")) for f in (folder / "truth" / dataset).glob("anatomy/*.json")
        ]
        truth = next(t[key] for t in truths if key in t)
        print(json.dumps(one(config, resources, folder, dataset, key, truth)), flush=True)


def one(config: Any, resources: Any, folder: Path, dataset: str, key: str, truth: Any) -> Row:
    """One session: seconds by step, and how far it is from the truth."""
    from cairn.io.nifti import read_mask, write_scan
    from cairn.io.shard import write_shard
    from cairn.preprocess.figure import session_picture
    from cairn.preprocess.session import preprocess_session
    from cairn.qc.truth import motion_error

    subject, session = key.split("/")
    scans = (folder / "raw" / dataset / f"sub-{subject}" / f"ses-{session}").rglob("*.nii.gz")
    files = {path.name.split("_")[-1].split(".")[0]: path for path in scans}
    begun, wall = time.process_time(), time.perf_counter()
    result = preprocess_session(files, config, resources, subject, session)
    packed = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        picture = session_picture(result.pictures, result.session.mask, result.session.geometry, resources.brain)
        write_shard(Path(name) / "a.safetensors", [result.session])
        write_scan(Path(name) / "mask.nii.gz", result.native_mask.astype(np.uint8), result.native_affine)
        digest = hashlib.sha256((Path(name) / "a.safetensors").read_bytes() + picture).hexdigest()
    end, found = time.process_time(), result.numbers
    there = read_mask(folder / "truth" / dataset / truth["brain_mask"])
    return {
        "scans": len(files), "seconds": result.seconds | {LAST: end - packed}, "total": end - begun,
        "wall": time.perf_counter() - wall, "sha256": digest, "template": found["template_dice"],
        "dice": float(2 * (there & result.native_mask).sum() / (there.sum() + result.native_mask.sum())),
        "motion": [
            motion_error(np.array(v["motion"]), np.array(truth["motion"][s]), found["centre_mm"])
            for s, v in found["sequences"].items() if "motion" in v
        ],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def run(source: Path, arguments: argparse.Namespace, task: str) -> list[Row]:
    """One task by the code under ``source``, on one thread."""
    print(f"{task} by {source} …", file=sys.stderr, flush=True)
    folder, spacing, count = task.rsplit(":", 2)
    command = [sys.executable, __file__, str(arguments.packages), folder, "--child", spacing, count]
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def old_source(revision: str, folder: Path) -> Path:
    """``src`` of a revision, unpacked into ``folder``."""
    packed = subprocess.run(["git", "archive", revision, "src"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


def cost(before: list[Row], after: list[Row]) -> Iterator[str]:
    """Processor seconds; the first session of each process is left out of all rows but the last, for it imports."""
    yield "| processor seconds | before | after | before / after |"
    yield "|---|---|---|---|"
    steps = dict.fromkeys(step for row in before[1:] for step in row["seconds"])
    rows = {
        f"{step}, a session": [np.mean([r["seconds"].get(step, 0) for r in v[1:]]) for v in (before, after)]
        for step in steps
    }
    rows["**all, a session**"] = [np.mean([r["total"] for r in v[1:]]) for v in (before, after)]
    rows["**all, a scan**"] = [sum(r["total"] for r in v[1:]) / sum(r["scans"] for r in v[1:]) for v in (before, after)]
    rows["the dearest session, by the scan"] = [max(r["total"] / r["scans"] for r in v[1:]) for v in (before, after)]
    rows["wall, a scan"] = [sum(r["wall"] for r in v[1:]) / sum(r["scans"] for r in v[1:]) for v in (before, after)]
    rows["first session of a process, imports included"] = [v[0]["total"] for v in (before, after)]
    for name, (old, new) in rows.items():
        yield f"| {name} | {old:.2f} | {new:.2f} | {old / max(new, 1e-3):.1f} |"
    yield f"| peak memory, MB | {before[-1]['peak_mb']:.0f} | {after[-1]['peak_mb']:.0f} | |"


def truth_table(before: list[Row], after: list[Row]) -> Iterator[str]:
    """Against the cohort's truth."""
    yield "| against the truth | before | after |"
    yield "|---|---|---|"
    rows: dict[str, list[str]] = {}
    for made in (before, after):
        dice, template = ([r[k] for r in made] for k in ("dice", "template"))
        errors = np.array([e for r in made for e in r["motion"]])
        kept = [bool((np.array(r["motion"]) <= 1).all()) for r in made if r["motion"]]
        for name, value in {
            "brain mask, Dice, mean (least)": f"{np.mean(dice):.4f} ({min(dice):.4f})",
            "template's brain, Dice, mean (least)": f"{np.mean(template):.4f} ({min(template):.4f})",
            "movement, mm, mean (95 %, most)": "{:.2f} ({:.2f}, {:.2f})".format(*spread(errors[:, 0])),
            "movement, degrees, mean (95 %, most)": "{:.2f} ({:.2f}, {:.2f})".format(*spread(errors[:, 1])),
            "sessions within 1 mm and 1°": f"{sum(kept)} of {len(kept)}",
        }.items():
            rows.setdefault(name, []).append(value)
    for name, values in rows.items():
        yield f"| {name} | {' | '.join(values)} |"


def spread(values: Any) -> tuple[float, float, float]:
    """Mean, 95th percentile and most."""
    return float(values.mean()), float(np.percentile(values, 95)), float(values.max())


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    """Make a cohort, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, nargs="?", help="folder with deepbet.whl and nimare.whl")
    parser.add_argument("tasks", nargs="*", metavar="FOLDER:SPACING:COUNT")
    parser.add_argument("--before", default="HEAD", metavar="REVISION")
    parser.add_argument("--make", type=Path, metavar="FOLDER", help="write a cohort at clinical resolution")
    parser.add_argument("--donors", type=Path, help="donors of an experiment, for --make")
    parser.add_argument("--child", nargs=2, metavar=("SPACING", "COUNT"), help="one task, as JSON")
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make, arguments.donors)
    elif arguments.child:
        child(arguments.packages, Path(arguments.tasks[0]), float(arguments.child[0]), int(arguments.child[1]))
    else:
        measure(arguments)


def measure(arguments: argparse.Namespace) -> None:
    """Every task by both codes, and by the new one twice, for equal bytes."""
    packages = ", ".join(f"{p} {version(p)}" for p in ("antspyx", "torch", "scipy"))
    print(f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, "
          f"Python {platform.python_version()}, {packages}.")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        old = old_source(arguments.before, Path(name))
        for task in arguments.tasks:
            before, after = (run(source, arguments, task) for source in (old, ROOT / "src"))
            again = run(ROOT / "src", arguments, f"{task.rsplit(':', 1)[0]}:{min(3, len(after))}")
            scans = sum(row["scans"] for row in after)
            same = {r["sha256"] for r in again} <= {r["sha256"] for r in after}
            print(f"\n## Grid of {task.split(':')[-2]} mm: {len(after)} sessions, {scans} scans\n")
            print("\n".join([*cost(before, after), "", *truth_table(before, after), ""]))
            print(f"A second run of {len(again)} of these sessions gave {'the same' if same else 'OTHER'} bytes.")


if __name__ == "__main__":
    main()
