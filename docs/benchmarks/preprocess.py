"""Measure preprocessing on one raw head, step by step, and print it as a markdown table.

    python docs/benchmarks/preprocess.py DEEPBET.whl NIMARE.whl HEAD_T1w.nii.gz

Every job runs alone in a process of its own, so that its peak memory and its number of threads are its own: the steps
at 1 mm and 2 mm, skull stripping at each effort, ANTs AffineFast and SyN at 2 mm. The second sequence that the rigid
registration needs is the head itself, its header moved by 3.7 mm and 4.2 degrees: the contrast is easier than that of
another sequence, the cost is the same. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
EFFORTS = ("quick", "balanced", "full")
TRANSFORMS = ("AffineFast", "SyN")
THREADS = (1, 2)
WARPED = 2.0  # mm, for AffineFast against SyN
SESSION = "session"  # of two scans, start to end, as jobs run it
SUMS = {
    "registration and resampling, a first scan": ("affine to the template", "resample"),
    "registration and resampling, a further scan": ("rigid, a further sequence", "resample"),
}
Job = dict[str, Any]


def use_threads(threads: int) -> None:
    """Let ITK have ``threads``; the library itself always takes one, the only repeatable number."""
    os.environ |= {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    from cairn.preprocess import ants_bridge

    def load(seed: int) -> Any:
        os.environ["ANTS_RANDOM_SEED"] = str(seed)
        import ants

        return ants

    ants_bridge.load_ants = load
    load(1)


class Clock:
    """Seconds by step, the median of several runs; what a step gives is that of its last run."""

    def __init__(self, repeats: int) -> None:
        self.repeats = repeats
        self.seconds: dict[str, float] = {}

    def __call__(self, step: str, work: Callable[[], T]) -> T:
        """Run ``work`` and note its time."""
        runs = []
        for _ in range(self.repeats):
            start = time.perf_counter()
            result = work()
            runs.append(time.perf_counter() - start)
        self.seconds[step] = median(runs)
        return result


def steps(clock: Clock, folder: Path, head: Path, threads: int, spacing: float) -> Job:
    """One session's steps as `cairn.preprocess.session` takes them, on a grid of ``spacing`` mm."""
    from dataclasses import replace

    from scipy.spatial.transform import Rotation

    from cairn.config.preprocess import PreprocessConfig
    from cairn.io.geometry import mask_to_grid
    from cairn.io.nifti import write_scan
    from cairn.io.shard import SequenceGeometry, SessionGeometry
    from cairn.preprocess.align import affine_to_template, coarse_reference, rigid_part, rigid_to_reference
    from cairn.preprocess.bias import field_on_grid
    from cairn.preprocess.grid import box_of, make_grid, to_grid
    from cairn.preprocess.native import read_native
    from cairn.preprocess.normalise import normalise
    from cairn.preprocess.resources import Resources
    from cairn.preprocess.session import preprocess_session
    from cairn.strip.deepbet import DeepBet

    config = PreprocessConfig.model_validate({"grid": {"spacing_mm": spacing}, "n4": {"enabled": True}})
    resources, net = Resources(folder), DeepBet(folder / "deepbet.whl", None, threads)
    brain = resources.brain
    brain.coarse(config.registration.template_spacing_mm)  # read once a shard, not once a scan
    scan = clock("read", lambda: read_native(head))
    mask = clock("strip (quick)", lambda: net.mask(scan.data, tuple(scan.zooms)))
    affine = clock("affine to the template", lambda: affine_to_template(scan, mask, brain, config.registration))
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", (3, -2, 2), degrees=True).as_matrix()
    move[:3, 3] = (2, -3, 1)
    other = replace(scan, affine=move @ scan.affine)

    def rigid() -> Any:
        coarse = coarse_reference(scan, mask, config.registration)
        return rigid_to_reference(coarse, other, affine, config.registration)

    clock("rigid, a further sequence", rigid)
    to_native = rigid_part(affine, brain.centre)
    shape, grid = make_grid(config.grid, brain.centre)
    geometry = SessionGeometry(shape, grid, {"T1w": SequenceGeometry(scan.stored_shape, scan.stored_affine, to_native)})
    inside = mask_to_grid(scan.stored_order(mask), geometry, "T1w")
    box = box_of(inside, 1)
    part, covered = clock("resample", lambda: to_grid(scan.data, scan.affine, grid, to_native, box, config.grid.order))
    field = clock("N4 (off by default)", lambda: field_on_grid(scan, inside, grid, to_native, box, config))
    clock("normalise", lambda: normalise(part / field, inside[box] & covered, config.normalise))
    files = {"T1w": head, "FLAIR": folder / "moved.nii.gz"}
    write_scan(files["FLAIR"], scan.data, other.affine)
    plain = PreprocessConfig.model_validate({"grid": {"spacing_mm": spacing}})
    resources.deepbet(plain.strip.effort).mask(scan.data, tuple(scan.zooms))  # read once a shard, too
    clock(SESSION, lambda: preprocess_session(files, plain, resources))
    return {"shape": list(scan.stored_shape), "zooms": [round(float(z), 2) for z in scan.zooms]}


def strip(clock: Clock, folder: Path, head: Path, threads: int, effort: str) -> Job:
    """Skull stripping at one effort; the networks are read once a shard."""
    from cairn.preprocess.native import read_native
    from cairn.preprocess.resources import SIDES
    from cairn.strip.deepbet import DeepBet

    scan, net = read_native(head), DeepBet(folder / "deepbet.whl", SIDES[effort], threads)
    mask = clock(effort, lambda: net.mask(scan.data, tuple(scan.zooms)))
    return {"ml": float(mask.sum() * np.prod(scan.zooms) / 1000)}


def warp(clock: Clock, folder: Path, head: Path, threads: int, transform: str) -> Job:
    """The head template onto the head at 2 mm, and the Dice of its carried brain with deepbet's (full effort)."""
    import ants

    from cairn.preprocess.ants_bridge import to_ants
    from cairn.preprocess.native import block_mean, read_native
    from cairn.preprocess.resources import Resources

    resources, scan = Resources(folder), read_native(head)
    template = resources.head
    fixed = to_ants(ants, *block_mean(scan.data, scan.affine, WARPED))
    moving = to_ants(ants, *block_mean(template.data, template.affine, WARPED))
    carried = to_ants(ants, *block_mean(template.mask.astype(np.float32), template.affine, WARPED))
    with tempfile.TemporaryDirectory() as out:
        prefix = str(Path(out) / "t")
        found = clock(
            transform, lambda: ants.registration(fixed, moving, type_of_transform=transform, outprefix=prefix)
        )
        brain = ants.apply_transforms(fixed, carried, found["fwdtransforms"], interpolator="linear").numpy() >= 0.5
    peak = peak_mb()  # before the network is run
    mask = resources.deepbet("full").mask(scan.data, tuple(scan.zooms))
    truth = block_mean(mask.astype(np.float32), scan.affine, WARPED)[0] >= 0.5
    return {"dice": float(2 * (brain & truth).sum() / (brain.sum() + truth.sum())), "peak_mb": peak}


def peak_mb() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(name: str, what: str, threads: int, repeats: int, folder: Path, head: Path) -> None:
    """Run one job and print its numbers as one line of JSON."""
    use_threads(threads)
    clock = Clock(1 if what == "SyN" else repeats)
    if name == "steps":
        facts = steps(clock, folder, head, threads, float(what))
    else:
        facts = {"strip": strip, "warp": warp}[name](clock, folder, head, threads, what)
    print(json.dumps({"peak_mb": peak_mb(), **facts, "seconds": clock.seconds}))


def run(name: str, what: str, threads: int, arguments: argparse.Namespace, folder: Path) -> Job:
    """One job in a process of its own."""
    print(f"{name} {what}, {threads} thread(s) …", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--job", name, what, str(threads), "--repeats", str(arguments.repeats)]
    files = [folder / "deepbet.whl", folder / "nimare.whl", arguments.head.resolve()]
    done = subprocess.run([*command, *map(str, files)], stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(made: dict[tuple[str, str, int], Job], repeats: int) -> str:
    """All measurements as markdown."""
    one = made["steps", "1.0", 1]
    size = " x ".join(map(str, one["shape"])) + " voxels of " + " x ".join(map(str, one["zooms"])) + " mm"
    packages = ", ".join(f"{p} {version(p)}" for p in ("antspyx", "torch", "scipy"))
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{packages}.",
        f"One T1w head, {size}; median of {repeats} (SyN: one run).", "",
        "| step | s at 1 mm | s at 2 mm | time with 2 threads / with 1 |", "|---|---|---|---|",
    ]  # fmt: skip
    for step in [s for s in one["seconds"] if s != SESSION]:
        at = {(s, t): made["steps", s, t]["seconds"][step] for s in ("1.0", "2.0") for t in THREADS}
        ratio = at["1.0", 2] / at["1.0", 1]
        lines.append(f"| {step} | {at['1.0', 1]:.2f} | {at['2.0', 1]:.2f} | {ratio:.2f} |")
    alone = [made["steps", s, 1]["seconds"] for s in ("1.0", "2.0")]
    sums = {name: [sum(at[part] for part in parts) for at in alone] for name, parts in SUMS.items()}
    sums["whole stage, a scan of two"] = [at[SESSION] / 2 for at in alone]
    lines += [f"| **{name}** | {fine:.2f} | {coarse:.2f} | |" for name, (fine, coarse) in sums.items()]
    peaks = [made["steps", s, 1]["peak_mb"] for s in ("1.0", "2.0")]
    lines += [f"| peak memory, MB | {peaks[0]:.0f} | {peaks[1]:.0f} | |", ""]
    lines += ["| strip effort | s | peak memory, MB | brain, ml | 2 threads / 1 |", "|---|---|---|---|---|"]
    for effort in EFFORTS:
        first, second = (made["strip", effort, t] for t in THREADS)
        seconds = first["seconds"][effort]
        ratio = second["seconds"][effort] / seconds
        lines.append(f"| {effort} | {seconds:.2f} | {first['peak_mb']:.0f} | {first['ml']:.0f} | {ratio:.2f} |")
    lines += ["", "| ANTs at 2 mm | s | peak memory, MB | Dice with deepbet | 2 threads / 1 |", "|---|---|---|---|---|"]
    for name in TRANSFORMS:
        first, second = (made["warp", name, t] for t in THREADS)
        seconds, ratio = first["seconds"][name], second["seconds"][name] / first["seconds"][name]
        lines.append(f"| {name} | {seconds:.1f} | {first['peak_mb']:.0f} | {first['dice']:.3f} | {ratio:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Run every job at one and two threads and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deepbet", type=Path, help="deepbet's wheel")
    parser.add_argument("template", type=Path, help="NiMARE's wheel")
    parser.add_argument("head", type=Path, help="a raw T1w head, NIfTI")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--job", nargs=3, metavar=("NAME", "WHAT", "THREADS"), help="one job alone, as JSON")
    arguments = parser.parse_args()
    if arguments.job:
        name, what, threads = arguments.job
        child(name, what, int(threads), arguments.repeats, arguments.deepbet.parent, arguments.head)
        return
    jobs = [("steps", s) for s in ("1.0", "2.0")] + [("strip", e) for e in EFFORTS] + [("warp", t) for t in TRANSFORMS]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "deepbet.whl").symlink_to(arguments.deepbet.resolve())
        (folder / "nimare.whl").symlink_to(arguments.template.resolve())
        made = {(job, what, t): run(job, what, t, arguments, folder) for job, what in jobs for t in THREADS}
    print(table(made, arguments.repeats))


if __name__ == "__main__":
    main()
