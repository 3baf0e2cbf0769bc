"""Training samples of a task: a case's box, augmented, with its target in the same box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cairn.config.training import FinetuneConfig
from cairn.nets.fusion import sequence_id
from cairn.ssl.augment import intensity, spatial
from cairn.tasks.cases import Box, Case
from cairn.tasks.targets import Array


def case_tensors(case: Case, box: Box) -> tuple[Tensor, Tensor]:
    """Volumes ``[S, X, Y, Z]`` of a case in a box around its brain, and their contrasts ``[S]``."""
    ids = torch.tensor([sequence_id(name) for name in case.sequences])
    return torch.from_numpy(case.volumes(box)), ids


def crop(grid_XYZ: Array, origin: Sequence[int], box: Box) -> Array:
    """The part of a grid array in a box; 0 outside the grid."""
    out = np.zeros(box, grid_XYZ.dtype)
    low = [max(0, o) for o in origin]
    high = [min(n, o + s) for n, o, s in zip(grid_XYZ.shape, origin, box, strict=True)]
    if all(h > lo for h, lo in zip(high, low, strict=True)):
        source = tuple(slice(lo, h) for lo, h in zip(low, high, strict=True))
        target = tuple(slice(lo - o, h - o) for lo, h, o in zip(low, high, origin, strict=True))
        out[target] = grid_XYZ[source]
    return out


def training_sample(
    case: Case, target: Array, box: Box, config: FinetuneConfig, draw: np.random.Generator, classes: int = 1
) -> dict[str, Tensor]:
    """One augmented sample: ``volumes`` ``[S, X, Y, Z]``, ``sequences`` ``[S]``, ``target`` (labels to ``classes``)."""
    volumes, ids = case_tensors(case, box)
    dense = target.ndim == 3
    stacked = volumes
    if dense:
        mask = torch.from_numpy(crop(target, case.origin(box), box).astype(np.float32))
        one_hot = mask[None] if classes == 1 else torch.stack([mask == k for k in range(1, classes + 1)]).float()
        stacked = spatial(torch.cat([volumes, one_hot]), config.spatial, draw, labels=classes)
        if classes > 1:
            stacked = torch.cat([stacked[: len(ids)], _labels(stacked[len(ids) :])])
    else:
        stacked = spatial(stacked, config.spatial, draw)
    if dense and config.patch_voxels:
        stacked = lesion_patch(stacked, config.patch_voxels, draw)
    volumes = torch.stack([intensity(v, config.intensity, draw) for v in stacked[: len(ids)]])
    answer = stacked[-1] if dense else torch.from_numpy(np.asarray(target, np.float32))
    return {"volumes": volumes, "sequences": ids, "target": answer}


def _labels(one_hot_KXYZ: Tensor) -> Tensor:
    """Labels ``[1, X, Y, Z]`` from masks of which at most one holds a voxel."""
    numbers = torch.arange(1, len(one_hot_KXYZ) + 1).view(-1, 1, 1, 1)
    return (one_hot_KXYZ * numbers).amax(dim=0, keepdim=True)


def lesion_patch(x_CXYZ: Tensor, size: Box, draw: np.random.Generator) -> Tensor:
    """A crop of all channels; in two of three draws around a voxel of the lesion (last channel), if there is one."""
    shape = x_CXYZ.shape[1:]
    centre = [int(draw.integers(n)) for n in shape]
    lesion = torch.nonzero(x_CXYZ[-1])
    if len(lesion) and draw.random() < 2 / 3:
        centre = [int(c) for c in lesion[int(draw.integers(len(lesion)))]]
    start = [min(max(0, c - s // 2), max(0, n - s)) for c, s, n in zip(centre, size, shape, strict=True)]
    cut = x_CXYZ[(slice(None), *(slice(o, o + s) for o, s in zip(start, size, strict=True)))]
    out = torch.zeros((len(x_CXYZ), *size))
    out[(slice(None), *(slice(0, n) for n in cut.shape[1:]))] = cut
    return out


def collate(samples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stack samples; sessions with fewer sequences are padded, and marked by contrast -1."""
    most = max(len(s["sequences"]) for s in samples)
    volumes = torch.zeros((len(samples), most, *samples[0]["volumes"].shape[1:]))
    ids = torch.full((len(samples), most), -1)
    for row, sample in enumerate(samples):
        count = len(sample["sequences"])
        volumes[row, :count], ids[row, :count] = sample["volumes"], sample["sequences"]
    return {"volumes": volumes, "sequences": ids, "target": torch.stack([s["target"] for s in samples])}
