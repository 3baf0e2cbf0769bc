"""What lies beside the tables of a registration: label maps of pairs, predicted fields. Free of torch, for every job
that makes or scores items names these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.io.shard import read_arrays, write_arrays

Array = npt.NDArray[Any]
LABELS = "labels"
"""Folder of the pairs' label maps, beside the truth of the items."""
FIELDS = "fields"
"""Folder of the predicted displacement fields, beside the table of predictions."""


def maps_of(targets: Path) -> Path:
    """Folder of the label maps that a registration's table of targets names, beside the table."""
    return targets.parent / f"{targets.stem}_labels"


def write_label_maps(path: Path, moving_SHW: Array, fixed_SHW: Array, structures: int) -> None:
    """Label maps of a pair, on the grids of its items; for evaluation alone."""
    maps = {"moving": moving_SHW.astype(np.uint8), "fixed": fixed_SHW.astype(np.uint8)}
    write_arrays(path, {**maps, "structures": np.array([structures], np.uint8)})


def read_label_maps(path: Path) -> tuple[Array, Array]:
    """The moving and the fixed map of a pair.

    Raises:
        CairnError: when the file is missing or damaged.
    """
    found = read_arrays(path)
    return found["moving"], found["fixed"]
