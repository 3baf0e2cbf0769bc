"""What an entry is tried on before it is believed: invented heads, or a few real sessions, with and without each scan
that a case may lack.

The invented heads are ellipsoids with tissues, noise and a bright lesion, enough to be read, stripped and answered
about, and nothing more. Cases differ in shape, orientation and position, and sequences of one case in their grid, so
that an entry that assumes one grid is found out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cairn.config.tasks import TaskInputs
from cairn.datasets.layouts import guess_kind, list_scans
from cairn.errors import CairnError
from cairn.io.nifti import write_scan
from cairn.ssl.draws import generator
from cairn.tasks.cases import choose_sequences

Array = npt.NDArray[np.float64]
SEED = 25
MOST_OPTIONAL = 3
"""Of so many optional sequences every subset is tried; of more, each alone left out, and all."""
HEAD_MM = ((78.0, 98.0, 88.0), (72.0, 92.0, 82.0), (66.0, 85.0, 74.0), (54.0, 72.0, 60.0), (16.0, 26.0, 12.0))
"""Half axes of scalp, skull, grey and white matter, ventricles."""
TISSUES: Mapping[str, tuple[float, ...]] = {
    "T1w": (0.8, 0.1, 0.55, 0.85, 0.2), "T1c": (0.9, 0.1, 0.6, 0.85, 0.2), "PD": (0.6, 0.1, 0.9, 0.7, 0.95),
    "T2w": (0.5, 0.1, 0.6, 0.4, 1.0), "FLAIR": (0.6, 0.1, 0.7, 0.55, 0.1), "DWI": (0.2, 0.05, 0.6, 0.5, 0.1),
    "ADC": (0.2, 0.05, 0.3, 0.28, 1.0), "SWI": (0.4, 0.1, 0.65, 0.6, 0.8), "T2star": (0.4, 0.1, 0.65, 0.55, 0.9),
}  # fmt: skip
"""Brightness of the same; a lesion is bright, and dark on the ADC map."""
GRIDS = (((58, 70, 60), 3.0, 0.0), ((64, 66, 56), 3.2, 0.15), ((52, 68, 62), 3.0, -0.1))
"""Shape, voxel size (mm) and tilt (radians) of the grids of cases 1, 2, 3, 1, …; even ones are stored right to left."""
THICK = ("SWI", "T2star")


@dataclass(frozen=True)
class Trial:
    """One case to try an entry on.

    Attributes:
        name: for the report.
        scans: by sequence.
        repeat: whether it is run twice, and must be answered alike.
    """

    name: str
    scans: Mapping[str, Path]
    repeat: bool = False


def invented_trials(task: TaskInputs, cases: int, folder: Path) -> list[Trial]:
    """Invented cases below ``folder``: ``cases`` of them with all scans, to be run twice, and the first with less."""
    made = [write_head(folder / f"case-{number}", task.sequences, number) for number in range(1, cases + 1)]
    return trials_of(task, [(f"case {i}", scans) for i, scans in enumerate(made, 1)])


def real_trials(task: TaskInputs, cases: int, root: Path) -> list[Trial]:
    """The first sessions of a folder of scans that the task can be asked about.

    Args:
        task: what is asked.
        cases: how many.
        root: a folder of any layout that Cairn tells by itself (docs/reference/layouts.md), such as a fine-tune set of
            FOMO or BIDS. Labels in it are not looked at.

    Raises:
        CairnError: when it is of no such layout, or holds no such session (code ``no-scans``).
    """
    kind, _ = guess_kind(root)
    found: list[tuple[str, Mapping[str, Path]]] = []
    for (subject, session), scans in groupby(list_scans(root, kind), lambda s: (s.subject, s.session)):
        files = {scan.sequence: root / scan.path for scan in scans}
        if len(found) < cases and _usable(task, files):
            found.append((f"{subject}/{session}", files))
    if not found:
        needs = ", ".join([*task.required, *(" or ".join(group) for group in task.any_of)])
        raise CairnError(f"{root}: no session with {needs}.", "Name a folder of such sessions.", "no-scans")
    return trials_of(task, found)


def _usable(task: TaskInputs, scans: Mapping[str, Path]) -> bool:
    try:
        choose_sequences(task, sorted(scans))
    except CairnError:
        return False
    return True


def trials_of(task: TaskInputs, cases: Sequence[tuple[str, Mapping[str, Path]]]) -> list[Trial]:
    """Every case twice with the scans that the task takes; then the first once for each other choice of scans."""
    trials = []
    for name, scans in cases:
        chosen = choose_sequences(task, sorted(scans))
        trials.append(Trial(name, {s: scans[s] for s in chosen}, repeat=True))
    name, scans = cases[0]
    for chosen, words in _choices(task, scans):
        trials.append(Trial(f"{name}, {words}", {s: scans[s] for s in chosen}))
    return trials


def _choices(task: TaskInputs, scans: Mapping[str, Path]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Other sets of scans that a case of the task may have, with what is different in words."""
    if task.kind == "probe":
        return
    usual = choose_sequences(task, sorted(scans))
    for group in task.any_of:
        there = [name for name in group if name in scans]
        for other in there[1:]:
            yield tuple(other if name == there[0] else name for name in usual), f"{other} instead of {there[0]}"
    optional = [name for name in task.optional if name in scans]
    sizes = range(1, len(optional) + 1) if len(optional) <= MOST_OPTIONAL else (1, len(optional))
    for gone in itertools.chain.from_iterable(itertools.combinations(optional, n) for n in sizes):
        yield tuple(name for name in usual if name not in gone), f"without {', '.join(gone)}"


def write_head(folder: Path, sequences: Sequence[str], number: int) -> dict[str, Path]:
    """Write one invented head, ``{sequence}.nii.gz`` (int16), and give its files; equal arguments give equal bytes.

    Args:
        folder: made where it is missing.
        sequences: names of sequences; one that is not of `TISSUES` looks like T1w.
        number: of the case, from 1.
    """
    shape, voxel_mm, tilt = GRIDS[(number - 1) % len(GRIDS)]
    files = {}
    for name in sequences:
        grid = (*shape[:2], shape[2] // 2) if name in THICK else shape
        sides = np.array([voxel_mm, voxel_mm, voxel_mm * (2 if name in THICK else 1)])
        affine = _affine(grid, sides, tilt, flipped=number % 2 == 0)
        draw = generator(SEED, f"invented {name}", number)
        data = _head(grid, affine, name, number) * 800 + draw.normal(0, 12, grid)
        files[name] = folder / f"{name}.nii.gz"
        write_scan(files[name], np.clip(data, 0, 1000).astype(np.int16), affine)
    return files


def _affine(shape: Sequence[int], sides_mm: Array, tilt: float, flipped: bool) -> Array:
    """4x4 of a grid around the origin, turned about the x axis; ``flipped``: from the patient's right to the left."""
    c, s = np.cos(tilt), np.sin(tilt)
    turn = np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]]) * sides_mm
    if flipped:
        turn[:, 0] *= -1
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, -turn @ ((np.array(shape) - 1) / 2)
    return affine


def _head(shape: Sequence[int], affine: Array, sequence: str, number: int) -> Array:
    """Brightness 0 to 1 ``[X, Y, Z]`` of a head's tissues on a grid."""
    at = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) @ affine[:3, :3].T + affine[:3, 3]
    out = np.zeros(tuple(shape))
    for half_axes, bright in zip(HEAD_MM, TISSUES.get(sequence, TISSUES["T1w"]), strict=True):
        out[((at / half_axes) ** 2).sum(axis=-1) < 1] = bright
    centre = np.array([28.0, -20.0 + 6 * number, 22.0])
    lesion = ((at - centre) ** 2).sum(axis=-1) < (7.0 + number) ** 2
    return np.where(lesion, 0.08 if sequence == "ADC" else 1.0, out)
