"""Structures of a head as a label map, as far as the tissue model supports them.

Tissue tells ventricles, outer CSF, deep grey, cortex, white matter, skull, fat and muscle. Cerebellum and brain stem
are cut from the brain by surfaces in the brain's box (the tentorium, and planes around the stem), which hold for any
donor to some millimetres; eyes and air cells are those of `cairn.cohort.skull`. Findings and open air have no label.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from cairn.cohort.anatomy import BONE, CSF, DGM, FAT, GM, MUSCLE, WM, Anatomy
from cairn.cohort.fields import step

STRUCTURES = (
    "ventricles", "outer_csf", "deep_grey", "cerebral_white", "cerebral_grey", "cerebellum", "brainstem", "skull",
    "scalp_fat", "muscle", "air_cells", "eyes",
)  # fmt: skip
"""Names of the labels 1, 2, …"""
EDGE = 0.008  # softness of cuts, in the brain's box


def structure_shares(anatomy: Anatomy) -> torch.Tensor:
    """Share of each voxel ``[12, X, Y, Z]`` in the order of `STRUCTURES`; what is left to 1 has no label."""
    f, bone = anatomy.fractions, anatomy.fractions[BONE]
    ventricle = step(1 - anatomy.ventricle_mm, 0.3 * anatomy.voxel_mm)
    eyes, cells = anatomy.overlays["eyes"], bone * anatomy.overlays["air-cells"]
    stem, below = _stem(anatomy.box), _tentorium(anatomy.box)
    hind = torch.maximum(stem, below)
    matter = f[GM] + f[WM] + f[DGM]
    shares = torch.stack([
        f[CSF] * ventricle, f[CSF] * (1 - ventricle), f[DGM] * (1 - hind), f[WM] * (1 - hind), f[GM] * (1 - hind),
        matter * below * (1 - stem), matter * stem, bone - cells, f[FAT], f[MUSCLE], cells,
    ])  # fmt: skip
    return torch.cat([shares * (1 - eyes), eyes[None]])


def structure_labels(shares_KXYZ: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Label of the largest share of each voxel of a scan, 0 where what has no label is larger."""
    largest = 1 - shares_KXYZ.sum(0)
    labels = np.zeros(largest.shape, np.uint8)
    for label, share in enumerate(shares_KXYZ, 1):
        labels[share > largest] = label
        largest = np.maximum(largest, share)
    return labels


def _tentorium(box: torch.Tensor) -> torch.Tensor:
    """1 below the tentorium, whose ridge rises from the inion to the midbrain and falls off to both sides."""
    across = (box[0] - 0.5).abs()
    height = 0.29 + 0.36 * (box[1] - 0.08).clamp(0, 0.34) - 0.30 * across
    return step(height - box[2], EDGE) * step(0.42 - box[1], EDGE)


def _stem(box: torch.Tensor) -> torch.Tensor:
    """1 in midbrain, pons and medulla."""
    across, height = (box[0] - 0.5).abs(), box[2]
    wide = 0.10 + 0.05 * torch.exp(-(((height - 0.24) / 0.08) ** 2))  # widest at the pons
    back = 0.40 - 0.12 * (0.22 - height).clamp(0, 0.3)  # the medulla leans back
    return step(wide - across, EDGE) * step(box[1] - back, EDGE) * step(0.62 - box[1], EDGE) * step(0.42 - height, EDGE)
