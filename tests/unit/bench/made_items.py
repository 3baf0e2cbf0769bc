"""Made-up raw sessions with the truth of a radiology set: structures, a lesion, targets; and features with a signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made import ball, geometry, write_set

from cairn.bench.features import Embedded, Features, write_features
from cairn.io.atomic import write_json
from cairn.io.geometry import labels_to_native
from cairn.io.nifti import write_scan
from cairn.io.shard import PreprocessedSession

STRUCTURES = ("upper", "lower", "front")
SHAPE = (20, 22, 24)


def make_radiology(folder: Path, count: int, first: int = 0, sequences=("CT", "T1w"), name="0000"):
    """Shard index and anatomy file of ``count`` subjects; odd ones have a lesion, seen on CT."""
    sessions, truth = [], {}
    for number in range(first, first + count):
        made, entry = _session(folder / "truth", f"{number:04d}", number % 2 == 1, sequences)
        sessions.append(made)
        truth[made.key] = entry
    write_json(folder / "truth" / "anatomy" / f"{name}.json", truth)
    return write_set(folder, name, sessions), folder / "truth" / "anatomy" / f"{name}.json"


def _session(root, subject, ill, sequences):
    rng = np.random.default_rng(int(subject))
    middle = (np.array(SHAPE) - 1) / 2
    head = ((np.indices(SHAPE).transpose(1, 2, 3, 0) - middle) / (0.45 * np.array(SHAPE))) ** 2
    head = head.sum(-1) <= 1
    labels = np.zeros(SHAPE, np.uint8)
    shift = rng.integers(-1, 2)
    for label, centre in enumerate([(0, 0, 5), (0, 0, -5), (0, 6, 0)], start=1):
        labels[ball(SHAPE, middle + np.array(centre) + shift, 3.2)] = label
    lesion = ball(SHAPE, middle + np.array([4, -3, shift]), 3.0) if ill else np.zeros(SHAPE, bool)
    volumes, masks = {}, {"structures": {}}
    for sequence in sequences:
        air = -1000.0 if sequence == "CT" else 0.0
        gain = 1.0 if sequence == "CT" else 40.0
        image = np.where(head, 40 + gain * np.array([0, 60, -50, 25])[labels] + 90.0 * lesion, air)
        volumes[sequence] = (image + rng.normal(0, 2, SHAPE)).astype(np.float32)
    shape = geometry(SHAPE, sequences)
    for sequence in sequences:
        masks["structures"][sequence] = _write(root, subject, "structures", labels, shape, sequence)
        if ill:
            masks.setdefault("lesion", {})[sequence] = _write(
                root, subject, "lesion", lesion.astype(np.uint8), shape, sequence
            )
    targets = {
        "findings": {"lesion": int(ill), "atrophy": int(int(subject) % 3 == 0)}, "age": 30.0 + int(subject) % 60,
        "grade": int(subject) // 2 % 2 if ill else None,
        "site": ("left", "right")[int(subject) // 2 % 2] if ill else None,
        "time_years": 1.0 + int(subject) if ill else None, "event": int(int(subject) % 4 == 1) if ill else None,
    }  # fmt: skip
    return PreprocessedSession(subject, "1", volumes, head, shape), {"masks": masks, "targets": targets}


def _write(root, subject, name, labels, shape, sequence):
    classes = max(1, int(labels.max()))
    shares = np.stack([labels == k for k in range(classes + 1)]).astype(np.float32)
    native = labels_to_native(shares, shape, sequence)
    path = Path(f"sub-{subject}") / f"{name}_{sequence}.nii.gz"
    write_scan(root / path, native, shape.sequences[sequence].native_affine)
    return path.as_posix()


def made_features(path, x, grid=(2, 2), slices=1, who="maker"):
    """Features of a file whose class tokens are the rows of ``x``, subject ``s000n``."""

    def items():
        for n, row in enumerate(x):
            tokens = np.repeat(row[None], slices, axis=0).astype(np.float32)
            patches = np.repeat(tokens, grid[0] * grid[1], axis=0).reshape(slices, *grid, -1)
            yield Embedded(f"s{n:04d}/1", tokens, patches, None)

    write_features(path, {"items": items()}, {"run": who})
    return Features(path, "items")
