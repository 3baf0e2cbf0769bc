"""Made-up preprocessed sessions on disk: a brain-like ball, and in it what a task can be learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cairn.io.atomic import sha256
from cairn.io.geometry import probability_to_native
from cairn.io.nifti import write_scan
from cairn.io.shard import PreprocessedSession, SequenceGeometry, SessionGeometry, write_shard
from cairn.io.tables import LABEL_COLUMNS, SHARD_COLUMNS, write_table

GRID_MM = 3.0
GAIN = {"FLAIR": 1.0, "DWI": 1.3, "ADC": -1.0, "SWI": 0.6, "T2star": 0.6, "T1w": -0.8, "T2w": 0.9}


@dataclass(frozen=True)
class Made:
    """A data set on disk."""

    index: Path
    labels: Path
    truth: dict[str, np.ndarray]
    """Lesion on each session's grid."""


def geometry(shape: Sequence[int], sequences: Sequence[str]) -> SessionGeometry:
    """A grid of 3 mm, and for each sequence an oblique, anisotropic native grid of its own, around the same centre."""
    affine = np.diag([GRID_MM, GRID_MM, GRID_MM, 1.0])
    affine[:3, 3] = -GRID_MM * (np.array(shape) - 1) / 2
    natives = {}
    for number, name in enumerate(sequences):
        angle = 0.1 + 0.05 * number
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        turn[:3, 3] = [2.0 * number, -1.0, 1.5]
        zooms = np.array([1.5, 1.5, 4.0 + number])
        native_shape = tuple(int(n) for n in np.ceil(GRID_MM * np.array(shape) * 1.4 / zooms))
        native = np.diag([-zooms[0], zooms[1], zooms[2], 1.0])  # left to right is stored backwards
        native[:3, 3] = -native[:3, :3] @ ((np.array(native_shape) - 1) / 2)
        natives[name] = SequenceGeometry(native_shape, native, turn)
    return SessionGeometry(tuple(shape), affine, natives)


def ball(shape: Sequence[int], centre: Sequence[float], radius: float) -> np.ndarray:
    """A ball, in voxels."""
    grid = np.indices(shape).transpose(1, 2, 3, 0)
    return np.asarray(((grid - np.asarray(centre)) ** 2).sum(-1) <= radius**2)


def session(
    subject: str, kind: str, value: float, sequences: Sequence[str], shape: Sequence[int]
) -> tuple[PreprocessedSession, np.ndarray]:
    """One session; ``value`` shows as a bright ball (class, lesion) or the size of a dark one (years)."""
    rng = np.random.default_rng(int(subject))
    middle = (np.array(shape) - 1) / 2
    mask = ((np.indices(shape).transpose(1, 2, 3, 0) - middle) / (0.45 * np.array(shape))) ** 2
    mask = mask.sum(-1) <= 1
    centre = middle + rng.uniform(-0.15, 0.15, 3) * np.array(shape)
    size = min(shape)
    lesion = ball(shape, centre, 0.16 * size) if value > 0 else np.zeros(tuple(shape), bool)
    if kind == "regression":
        lesion = ball(shape, middle, (0.08 + 0.3 * value / 100) * size)
    volumes = {}
    for name in sequences:
        texture = rng.normal(0, 0.5, tuple(shape))
        texture += rng.normal(0, 0.3)
        strength = -2.0 if kind == "regression" else 3.0 * GAIN.get(name.split("_")[0], 1.0)
        volumes[name] = np.where(mask, np.where(lesion, strength, 0) + texture, 0).astype(np.float32)
    made = PreprocessedSession(subject, "1", volumes, mask, geometry(shape, sequences))
    return made, lesion & mask


def write_set(folder: Path, name: str, sessions: Sequence[PreprocessedSession]) -> Path:
    """Write one shard and its index."""
    path = folder / f"{name}.safetensors"
    write_shard(path, sessions)
    digest = sha256(path)
    rows = [
        {
            "subject": s.subject, "session": s.session, "sequences": ",".join(sorted(s.volumes)),
            "shape": "x".join(map(str, s.mask.shape)), "shard_sha256": digest, "session_sha256": digest,
        }
        for s in sorted(sessions, key=lambda s: s.key)
    ]  # fmt: skip
    write_table(folder / f"{name}.index.tsv", rows, SHARD_COLUMNS)
    return folder / f"{name}.index.tsv"


def make_set(
    folder: Path, kind: str, count: int, sequences: Sequence[str] = ("FLAIR", "DWI"),
    shape: Sequence[int] = (16, 18, 16), first: int = 0, name: str = "0000",
) -> Made:  # fmt: skip
    """A labelled data set of ``count`` subjects."""
    folder.mkdir(parents=True, exist_ok=True)
    sessions, rows, truth = [], [], {}
    for number in range(first, first + count):
        value = {"classification": number % 2, "segmentation": 1}.get(kind, 20 + (number * 37) % 60)
        made, lesion = session(f"{number:04d}", kind, float(value), sequences, shape)
        sessions.append(made)
        truth[made.key] = lesion
        row = {"subject": made.subject, "session": "1", "value": value}
        if kind == "segmentation":
            target = folder / f"mask-{name}-{made.subject}.nii.gz"
            native = probability_to_native(lesion.astype(np.float32), made.geometry, sequences[0]) >= 0.5
            write_scan(target, native.astype(np.uint8), made.geometry.sequences[sequences[0]].native_affine)
            row |= {"value": "n/a", "mask": target.name, "mask_sequence": sequences[0]}
        rows.append(row)
    index = write_set(folder, name, sessions)
    write_table(folder / f"{name}.labels.tsv", rows, LABEL_COLUMNS)
    return Made(index, folder / f"{name}.labels.tsv", truth)
