"""Quality numbers of a session in which nothing is wrong, and shards made of such sessions."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from cairn.io.atomic import write_json
from cairn.io.nifti import write_scan
from cairn.io.tables import QUARANTINE_COLUMNS, SHARD_COLUMNS, write_table

_SEQUENCE = {
    "coverage": 1.0, "blank_slices": 0, "saturated": 0.001, "zeros": 0.0, "levels": 900, "contrast": 0.4,
    "shape": [8, 8, 8], "zooms_mm": [1, 1, 1], "header_flip": False,
}  # fmt: skip
_MOVED = {
    "fit": 1.05, "mirror_gain": -0.02, "starts": 1, "motion_mm": 1.0, "motion_degrees": 1.0,
    "motion": np.eye(4).tolist(),
}  # fmt: skip
_SESSION = {
    "reference": "T1w", "strip": "deepbet", "native_mask_shape": [8, 8, 8], "outside_grid": 0.0,
    "affine": np.eye(4).tolist(), "centre_mm": [10.0, 20.0, 30.0], "brain_ml": 1400.0, "template_dice": 0.94,
    "template_scales": [1.05, 1.0, 0.95], "cut_share": 0.0, "site": "siteA",
    "sequences": {"T1w": _SEQUENCE, "T2w": {**_SEQUENCE, **_MOVED}},
}  # fmt: skip
JPEG = b"\xff\xd8 picture \xff\xd9"


def good(**changes: Any) -> dict[str, Any]:
    """Numbers of a good session of T1w (reference) and T2w, with ``changes``."""
    return copy.deepcopy(_SESSION) | changes


def with_sequence(name: str, **changes: Any) -> dict[str, Any]:
    """A good session but for ``changes`` in one sequence."""
    numbers = good()
    numbers["sequences"][name] |= changes
    return numbers


def box(high: tuple[int, int, int]) -> np.ndarray:
    """A mask of the voxels below ``high`` on a grid of 8 voxels a side."""
    out = np.zeros((8, 8, 8), np.uint8)
    out[: high[0], : high[1], : high[2]] = 1
    return out


def write_shard_of(
    folder: Path, shard: str, sessions: dict[str, dict[str, Any]], quarantine: tuple[dict[str, str], ...] = ()
) -> Path:
    """Write what preprocessing leaves of a shard as far as quality control reads it; returns the index."""
    figures = folder / f"{shard}.qc"
    figures.mkdir(parents=True, exist_ok=True)
    rows = []
    for key, numbers in sessions.items():
        name = "sub-{}_ses-{}".format(*key.split("/"))
        numbers |= {"figure": f"{name}.jpg", "native_mask": f"{name}_mask.nii.gz"}
        (figures / numbers["figure"]).write_bytes(JPEG)
        write_scan(figures / numbers["native_mask"], box((4, 4, 4)), np.eye(4))
        subject, session = key.split("/")
        rows.append({"subject": subject, "session": session, "sequences": "T1w,T2w", "shape": "8x8x8"})
    write_json(folder / f"{shard}.qc.json", {"format": 1, "dataset": folder.name, "sessions": sessions})
    write_table(folder / f"{shard}.quarantine.tsv", quarantine, QUARANTINE_COLUMNS)
    write_table(folder / f"{shard}.index.tsv", rows, SHARD_COLUMNS)
    return folder / f"{shard}.index.tsv"
