"""Entries as functions: what a sandbox would run as a program, run here, with the same arguments and folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cairn.config.tasks import TaskSpec
from cairn.io.atomic import sha256
from cairn.io.nifti import read_scan, write_scan
from cairn.io.tables import INDEX_COLUMNS, write_table
from cairn.sandbox.run import Outcome

TASKS = {
    "classification": TaskSpec(
        name="infarct", kind="classification", required=("FLAIR", "DWI"), any_of=(("SWI", "T2star"),)
    ),
    "regression": TaskSpec(name="age", kind="regression", required=("T1w",), optional=("T2w",)),
    "segmentation": TaskSpec(name="lesion", kind="segmentation", required=("FLAIR", "DWI"), mask_sequence="FLAIR"),
    "probe": TaskSpec(name="sex", kind="probe", required=("T1w",), classes=("f", "m")),
}
Program = Callable[[Mapping[str, Path], Path], Any]


def mean(scans: Mapping[str, Path]) -> float:
    return float(np.mean([read_scan(p).data.mean() for p in scans.values()]))


def honest(scans: Mapping[str, Path], out: Path) -> None:
    """Answers each kind of task by what the scans hold."""
    if out.name.endswith(".txt"):
        out.write_text(f"{mean(scans) % 1:.3f}\n")
    elif out.name.endswith(".npy"):
        data = read_scan(scans["input"]).data
        np.save(out, np.array([data.mean(), data.std(), data.max()], np.float32))
    else:
        scan = read_scan(scans["flair"])
        write_scan(out, (scan.data > 700).astype(np.uint8), scan.affine)


def outcome(verdict: str = "ok", log: str = "", wall_s: float = 0.5) -> Outcome:
    code = {"ok": 0, "failed": 1}.get(verdict)
    return Outcome(verdict, code, wall_s, 40.0, log, 0, f"It was {verdict}.")  # type: ignore[arg-type]


def runner(program: Program) -> Callable[..., Outcome]:
    """The sandbox's part for a function: it may return an outcome of its own; what it raises is a failed run."""

    def run(image, command, inputs, output, policy, engine):
        if command[1] == "-c":
            return outcome()
        words = command[2:]
        given = dict(zip(words[::2], words[1::2], strict=True))
        out = output / Path(given.pop("--output")).name
        scans = {flag.removeprefix("--"): inputs / Path(path).relative_to("/input") for flag, path in given.items()}
        try:
            return program(scans, out) or outcome(log="said something")
        except Exception as error:
            return outcome("failed", str(error))

    return run


def write_sessions(root: Path, count: int, sequences: tuple[str, ...], first: int = 0) -> Path:
    """Small scans of ``count`` sessions below ``root``, and their index."""
    rows = []
    for number in range(first, first + count):
        for sequence in sequences:
            path = root / f"sub-{number:02d}/{sequence}.nii.gz"
            data = np.random.default_rng([number, len(sequence)]).integers(0, 800 + 40 * number, (20, 22, 18))
            write_scan(path, data.astype(np.int16), np.diag([4.0, 4.0, 5.0, 1.0]))
            rows.append({
                "dataset": "d", "subject": f"{number:02d}", "session": "1", "sequence": sequence,
                "path": path.relative_to(root).as_posix(), "sha256": sha256(path),
            })  # fmt: skip
    write_table(root / "index.tsv", rows, INDEX_COLUMNS)
    return root / "index.tsv"
