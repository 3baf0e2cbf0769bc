"""What quicker steps of preprocessing cost in quality: settings side by side on scans whose truth is known.

    python docs/benchmarks/preprocess_cohort.py results/demo --sessions 16

Takes every n-th session of a finished experiment's embedded cohort, preprocesses it by each setting in one process and
one thread, and holds brain masks and movements against the truth. The first setting runs twice: equal bytes are asked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from cairn.config.preprocess import PreprocessConfig
from cairn.io.nifti import read_mask
from cairn.io.tables import read_table
from cairn.preprocess import align
from cairn.preprocess.ants_bridge import Schedule
from cairn.preprocess.resources import Resources
from cairn.preprocess.session import SessionResult, preprocess_session
from cairn.qc.truth import motion_error

THEIRS = Schedule((2100, 1200, 1200, 10), (6, 4, 2, 1), (3, 2, 1, 0))  # antspyx' default for linear transforms
SETTINGS: dict[str, tuple[dict[str, Any], Schedule | None]] = {
    "as configured": ({}, None),
    "as configured, grid of 1 mm": ({"grid": {"spacing_mm": 1.0}}, None),
    "ANTs' default schedule, same voxels": ({}, THEIRS),
    "strip balanced": ({"strip": {"effort": "balanced"}}, None),
    "strip as published": ({"strip": {"effort": "full"}}, None),
}
STEPS = ("strip", "template affine", "rigid", "resample")


@contextmanager
def schedule(levels: Schedule | None) -> Iterator[None]:
    """Let both linear registrations take another schedule."""
    kept = align.NEAR, align.TEMPLATE
    if levels is not None:
        align.NEAR, align.TEMPLATE = levels, levels
    try:
        yield
    finally:
        align.NEAR, align.TEMPLATE = kept


def sessions_of(results: Path, count: int) -> list[tuple[dict[str, Path], dict[str, Any], Path]]:
    """Scans, truth and truth's folder of ``count`` sessions, evenly over all data sets."""
    found = []
    for root in sorted((results / "truth").iterdir()):
        truths = {k: v for p in sorted(root.glob("anatomy/*.json")) for k, v in json.loads(p.read_text()).items()}
        raw = results / "raw" / root.name
        rows = [row for p in sorted(raw.glob("index/*.tsv")) for row in read_table(p)]
        for key, truth in sorted(truths.items()):
            scans = {r["sequence"]: raw / r["path"] for r in rows if f"{r['subject']}/{r['session']}" == key}
            if len(scans) > 1:
                found.append((scans, truth, root))
    return found[:: max(1, len(found) // count)][:count]


def digest(result: SessionResult) -> str:
    """Hash over a session's volumes and mask."""
    total = hashlib.sha256(result.session.mask.tobytes())
    for name in sorted(result.session.volumes):
        total.update(result.session.volumes[name].tobytes())
    return total.hexdigest()


def measure(
    name: str, cases: list[Any], config: dict[str, Any], resources: Resources
) -> tuple[dict[str, Any], list[str]]:
    """Seconds a scan, Dice and movement errors of one setting; and the hash of every session."""
    changes, levels = SETTINGS[name]
    merged = {**config, **{k: {**config.get(k, {}), **v} for k, v in changes.items()}}
    settings = PreprocessConfig.model_validate(merged)
    seconds, scans, dice, errors, hashes = dict.fromkeys(STEPS, 0.0), 0, [], [], []
    began = time.perf_counter()
    with schedule(levels):
        for files, truth, root in cases:
            result = preprocess_session(files, settings, resources)
            scans += len(files)
            hashes.append(digest(result))
            for step in STEPS:
                seconds[step] += result.seconds.get(step, 0.0)
            if result.reference != truth["reference"]:
                continue
            known = read_mask(root / truth["brain_mask"])
            both = 2 * (known & result.native_mask).sum() / (known.sum() + result.native_mask.sum())
            dice.append(float(both))
            for sequence, numbers in result.numbers["sequences"].items():
                if "motion" in numbers and sequence in truth["motion"]:
                    motion = np.array(truth["motion"][sequence], float)
                    errors.append(motion_error(np.array(numbers["motion"]), motion, result.numbers["centre_mm"]))
    whole = time.perf_counter() - began
    mm, degrees = np.array(errors).T
    return {
        "name": name, "whole": whole / scans, **{s: v / scans for s, v in seconds.items()}, "dice": dice, "mm": mm,
        "degrees": degrees, "scans": scans,
    }, hashes  # fmt: skip


def main() -> None:
    """Measure and print."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("results", type=Path)
    ask.add_argument("--sessions", type=int, default=16)
    given = ask.parse_args()
    cases = sessions_of(given.results, given.sessions)
    resources = Resources(given.results.parent / "resources/packages")
    card = json.loads(next((given.results / "preprocess").glob("*/*.run.json")).read_text())
    config = card["config"]
    measure("as configured", cases[:1], config, resources)  # what is loaded once
    rows, first = [], []
    for name in SETTINGS:
        row, hashes = measure(name, cases, config, resources)
        rows.append(row)
        first = first or hashes
        print(name, file=sys.stderr, flush=True)
    again = measure("as configured", cases, config, resources)[1]
    print(f"{len(cases)} sessions, {rows[0]['scans']} scans; run twice, {sum(map(str.__eq__, first, again))} of"
          f" {len(cases)} sessions have equal bytes.\n")  # fmt: skip
    print("| setting | s a scan | strip | to template | to reference | resample | Dice, mean (least) |"
          " error, mm, mean (95 %) | degrees, mean (95 %) |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")  # fmt: skip
    for row in rows:
        steps = " | ".join(f"{row[s]:.2f}" for s in ("whole", *STEPS))
        far = " | ".join(f"{row[k].mean():.2f} ({np.percentile(row[k], 95):.2f})" for k in ("mm", "degrees"))
        print(f"| {row['name']} | {steps} | {np.mean(row['dice']):.4f} ({min(row['dice']):.4f}) | {far} |")


if __name__ == "__main__":
    main()
