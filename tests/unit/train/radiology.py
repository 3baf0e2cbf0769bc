"""Small radiology sets: heads in CT and MRI with raw values, and small sections of what learns from their slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from made import geometry, write_set

from cairn.io.shard import PreprocessedSession

AIR, BONE, BRAIN, BLOOD = -1000.0, 900.0, 35.0, 70.0
NETWORK_2D: dict[str, Any] = {
    "kind": "dinov2", "image_size": 32, "patch_size": 8, "hidden_size": 24, "layers": 2, "heads": 2, "mlp_ratio": 2,
    "layerscale": 1.0, "drop_path": 0.1,
}  # fmt: skip
CURIA: dict[str, Any] = {
    "kind": "curia", "contract": {"planes": ["axial", "coronal", "sagittal"], "size_px": 40},
    "global_px": 32, "local_px": 16, "local_crops": 2, "prototypes": 32, "head_hidden": 32, "head_bottleneck": 16,
    "temperature_steps": 50, "teacher": {"momentum": 0.9, "momentum_end": 0.99, "ramp_steps": 40},
}  # fmt: skip
CURIA_2: dict[str, Any] = {
    **CURIA, "crops": "content", "masks": "anatomy", "sigreg_weight": 0.02, "sigreg_directions": 32,
    "stages": [{"px": 16, "from_step": 0}, {"px": 32, "from_step": 60}], "targets": "sinkhorn",
}  # fmt: skip
"""All changes of Curia-2 at once."""


def head(
    subject: str, shape: Sequence[int] = (24, 28, 22), sequences: Sequence[str] = ("CT", "T1w")
) -> PreprocessedSession:
    """A head of skull and brain with a bleeding somewhere, well off the grid's middle, in air."""
    rng = np.random.default_rng(int(subject))
    size = np.array(shape)
    middle = size * (0.42, 0.55, 0.5)
    far = ((np.indices(tuple(shape)).transpose(1, 2, 3, 0) - middle) / (0.36 * size * rng.uniform(0.9, 1.1, 3))) ** 2
    far = far.sum(-1)
    mask, brain = far <= 1, far <= 0.75
    spot = middle + rng.uniform(-0.15, 0.15, 3) * size
    blood = ((np.indices(tuple(shape)).transpose(1, 2, 3, 0) - spot) ** 2).sum(-1) <= (0.1 * min(shape)) ** 2
    ct = np.select([blood & brain, brain, mask], [BLOOD, BRAIN, BONE], AIR) + rng.normal(0, 4, tuple(shape))
    mri = np.select([blood & brain, brain, mask], [150.0, 400.0, 60.0], 0.0) * rng.uniform(0.5, 2)
    mri = np.abs(mri + rng.normal(0, 8, tuple(shape)))
    volumes = {n: (ct if n.startswith("CT") else mri).astype(np.float32) for n in sequences}
    return PreprocessedSession(subject, "1", volumes, mask, geometry(shape, sequences))


def make_heads(folder: Path, count: int, **how: Any) -> Path:
    """Index of a shard of so many heads."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_set(folder, "0000", [head(f"{n:04d}", **how) for n in range(count)])
