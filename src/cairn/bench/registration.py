"""Registration by frozen features: coarse correlation, coupled convex smoothing, refinement; Dice of warped labels.

After ConvexAdam (arXiv 2203.15784; Heinrich 2014), written anew. Both volumes are cut to their heads
and lie on [-1, 1] along every axis, so the start is an alignment by boxes. A field is ``[3, d, h, w]``: for each point
of the fixed volume how far away, along slices, rows and columns, in half widths, its partner lies in the moving one.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from cairn.bench.features import Features
from cairn.config.bench import RegistrationConfig
from cairn.errors import CairnError
from cairn.io.shard import read_arrays, write_arrays

Array = npt.NDArray[Any]
Grid = tuple[int, int, int]
MOST_ROWS = 20000  # patch tokens that a basis is made from


def fit_basis(features: Features, config: RegistrationConfig) -> tuple[dict[str, Array], dict[str, Any]]:
    """Principal components of the training items' patch tokens: what is compared. No label has a part in it.

    Returns:
        ``mean`` ``[D]`` and ``basis`` ``[D, C]``, and facts for the card.
    """
    each = max(1, MOST_ROWS // max(1, len(features.keys)))
    rows = []
    for key in features.keys:
        tokens = features.read("patches", key).reshape(-1, features.shape[-1])
        rows.append(tokens[:: max(1, len(tokens) // each)])
    x = np.concatenate(rows).astype(np.float64)
    mean = x.mean(axis=0)
    values, vectors = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    kept = np.argsort(values)[::-1][: config.components]
    signs = np.where(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))] < 0, -1.0, 1.0)
    basis = (vectors * signs)[:, kept]
    share = float(values[kept].sum() / max(values.sum(), 1e-300))
    facts = {"features": int(x.shape[1]), "components": len(kept), "variance": share, "items": len(features.keys)}
    return {"mean": mean.astype(np.float32), "basis": basis.astype(np.float32)}, facts


def feature_grid(patches_ShwD: Array, head: dict[str, Array], size: Grid) -> Tensor:
    """Compared features of a volume on a grid of its box, ``[C, d, h, w]``, scaled to unit variance over the volume."""
    x = (torch.from_numpy(patches_ShwD) - torch.from_numpy(head["mean"])) @ torch.from_numpy(head["basis"])
    grid = functional.interpolate(x.movedim(-1, 0)[None], size, mode="trilinear", align_corners=False)[0]
    centred = grid - grid.mean(dim=(1, 2, 3), keepdim=True)
    return centred / centred.square().mean().sqrt().clamp(min=1e-6)


def register(moving_CDHW: Tensor, fixed_CDHW: Tensor, config: RegistrationConfig) -> Tensor:
    """Field ``[3, d, h, w]`` that brings the moving volume's features onto the fixed one's."""
    field = _refined(_convex(moving_CDHW, fixed_CDHW, config), moving_CDHW, fixed_CDHW, config)
    return field if bool(field.isfinite().all()) else torch.zeros_like(field)


def _convex(moving: Tensor, fixed: Tensor, config: RegistrationConfig) -> Tensor:
    """Best displacement of each point among a cube of them, drawn ever more towards a smooth field."""
    size: Grid = tuple(fixed.shape[1:])  # type: ignore[assignment]
    reach = range(-config.radius, config.radius + 1)
    shifts = sorted(itertools.product(reach, repeat=3), key=lambda s: (sum(v * v for v in s), s))  # no move first
    unit = torch.tensor([2.0 / n for n in size])
    moves = torch.tensor(shifts, dtype=torch.float32)
    padded = functional.pad(moving[None], [config.radius] * 6, mode="replicate")[0]
    costs = _smooth(torch.stack([_cost(padded, fixed, shift, config.radius) for shift in shifts]))
    field = torch.zeros((3, *size))
    for coupling in config.couplings:
        distance = ((moves[:, :, None, None, None] - field[None]) ** 2).sum(dim=1)
        field = _smooth(moves[(costs + coupling * distance).argmin(dim=0)].movedim(-1, 0))
    return field * unit[:, None, None, None]


def _cost(padded: Tensor, fixed: Tensor, shift: tuple[int, ...], radius: int) -> Tensor:
    """Mean squared difference of features at one displacement, ``[d, h, w]``."""
    at = [slice(radius + s, radius + s + n) for s, n in zip(shift, fixed.shape[1:], strict=True)]
    return (padded[(slice(None), *at)] - fixed).square().mean(dim=0)


def _smooth(x_CDHW: Tensor) -> Tensor:
    """Twice the mean over 3 x 3 x 3 neighbours, the border repeated."""
    for _ in range(2):
        x_CDHW = functional.avg_pool3d(functional.pad(x_CDHW[None], [1] * 6, mode="replicate"), 3, stride=1)[0]
    return x_CDHW


def _refined(field: Tensor, moving: Tensor, fixed: Tensor, config: RegistrationConfig) -> Tensor:
    """Adam on the features' squared difference and the field's squared slopes; the best of the fields on the way."""
    best, least = field, float("inf")
    found = field.clone().requires_grad_()
    optimiser = torch.optim.Adam([found], lr=config.learning_rate)
    for _ in range(config.steps):
        optimiser.zero_grad()
        energy = _energy(found, moving, fixed, config)
        if float(energy.detach()) < least:
            best, least = found.detach().clone(), float(energy.detach())
        energy.backward()
        optimiser.step()
    return best


def _energy(field: Tensor, moving: Tensor, fixed: Tensor, config: RegistrationConfig) -> Tensor:
    scale = torch.tensor([float(n) for n in fixed.shape[1:]])[:, None, None, None] / 2
    steps = field * scale  # in grid points
    rough = torch.stack([(steps.diff(dim=axis) ** 2).mean() for axis in (1, 2, 3)]).sum()
    return (warp(moving, field) - fixed).square().mean() + config.smoothness * rough


def warp(x_CDHW: Tensor, field_3dhw: Tensor, size: Grid | None = None, mode: str = "bilinear") -> Tensor:
    """A volume seen through a field, ``[C, *size]``.

    Args:
        x_CDHW: the moving volume.
        field_3dhw: the field, on any grid.
        size: of the fixed volume; default: the field's.
        mode: ``bilinear`` (trilinear here) or ``nearest``.
    """
    size = size or tuple(field_3dhw.shape[1:])  # type: ignore[assignment]
    dense = functional.interpolate(field_3dhw[None], size, mode="trilinear", align_corners=False)
    start = functional.affine_grid(torch.eye(3, 4)[None], [1, 1, *size], align_corners=False)  # type: ignore[misc]
    at = start + dense.movedim(1, -1).flip(-1)  # grid_sample counts columns first
    return functional.grid_sample(x_CDHW[None], at, mode=mode, padding_mode="border", align_corners=False)[0]


def warped_dice(moving_SHW: Array, fixed_SHW: Array, field_3dhw: Array, classes: int) -> list[float]:
    """Dice of each label 1 to K after the moving labels went through a field; both empty 1, one empty 0."""
    labels = torch.from_numpy(moving_SHW.astype(np.float32))[None]
    seen = warp(labels, torch.from_numpy(field_3dhw.astype(np.float32)), fixed_SHW.shape, "nearest")[0].numpy()
    found = []
    for number in range(1, classes + 1):
        a, b = seen == number, fixed_SHW == number
        total = int(a.sum()) + int(b.sum())
        found.append(2 * int((a & b).sum()) / total if total else 1.0)
    return found


def registration_dice(labels: Path, field: Path | None = None) -> list[float]:
    """Dice of every structure of a pair after its predicted field; without one, before: aligned by boxes.

    Args:
        labels: ``moving`` and ``fixed`` label maps, and the number of structures
            (`cairn.bench.beside.write_label_maps`).
        field: the predicted displacement field (`write_field`).

    Raises:
        CairnError: when a file is missing or damaged (code ``truncated`` or ``missing``), or the field is none
            (code ``wrong-shape`` or ``not-finite``).
    """
    truth = read_arrays(labels)
    given = np.zeros((3, 1, 1, 1), np.float32) if field is None else read_arrays(field).get("field", np.zeros(0))
    if given.ndim != 4 or len(given) != 3 or 0 in given.shape:
        raise CairnError(f"{field}: a field of shape {given.shape}.", "It is [3, d, h, w].", "wrong-shape")
    if not np.isfinite(given).all():
        raise CairnError(f"{field}: holds NaN or infinity.", "Register again.", "not-finite")
    return warped_dice(truth["moving"], truth["fixed"], given, int(truth["structures"][0]))


def write_field(path: Path, field: Tensor) -> None:
    """A displacement field, float16."""
    write_arrays(path, {"field": field.numpy().astype(np.float16)})
