"""Which voxels of the reference scan are brain: the configured method."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cairn.config.preprocess import PreprocessConfig
from cairn.errors import CairnError
from cairn.io.geometry import resample
from cairn.io.nifti import read_mask
from cairn.preprocess.ants_bridge import Schedule, carry_mask_syn, register
from cairn.preprocess.native import AIR_HU, HOUNSFIELD, Mask, NativeScan, Volume, block_mean
from cairn.preprocess.resources import Resources
from cairn.strip.morphology import largest_component
from cairn.strip.refine import refine, stripped_already

HEADS = Schedule((200, 100, 20), (3, 2, 1), (2, 1, 0), 20_000)
LOOK = "Look at the scan; name a brain mask for it (strip method 'given'), or remove it."


def brain_mask(
    scan: NativeScan, config: PreprocessConfig, resources: Resources, given: Path | None = None
) -> tuple[Mask, str]:
    """Brain mask of a head in RAS order, and the method that made it; with method ``none`` the head's.

    Raises:
        CairnError: ``no-brain``; with method ``given`` what `cairn.io.nifti.read_mask` raises, or ``mask-shape``.
    """
    method = config.strip.method
    if method == "none":
        return head_region(scan), method
    voxel_ml = float(abs(np.linalg.det(scan.affine[:3, :3]))) / 1000
    if method == "given":
        return _given(scan, given), method
    outline = stripped_already(scan.data, voxel_ml) if config.strip.keep_stripped else None
    if outline is not None:
        return outline, "as it came"
    if method == "deepbet":
        mask = resources.deepbet(config.strip.effort).mask(scan.data, tuple(scan.zooms))
    else:
        mask = _from_template(scan, config, resources)
    if mask.sum() * voxel_ml < 50:
        raise CairnError(f"{scan.path}: the brain found has {mask.sum() * voxel_ml:.0f} ml.", LOOK, "no-brain")
    return mask, method


def head_region(scan: NativeScan) -> Mask:
    """What is not air: above Otsu's threshold (1979), with what that encloses in axial slices; the largest piece.

    Enclosed first: in MR the skull is as dark as air and parts the brain from the scalp around it. In slices, for a
    scan that ends within the head encloses nothing as a whole.

    For sequences in Hounsfield units the threshold lies between air and water whatever bone and metal do, since values
    are looked at up to water alone; padding below air counts as air. The background of MR is dark: a threshold on the
    root of its values is less drawn to the brightest fat.

    Raises:
        CairnError: ``no-brain`` when the scan is constant.
    """
    hounsfield = scan.data.min() < HOUNSFIELD
    seen = np.clip(scan.data, AIR_HU, 0) if hounsfield else np.sqrt(np.clip(scan.data, 0, None))
    if not seen.min() < seen.max():
        raise CairnError(f"{scan.path}: the scan is blank.", LOOK, "no-brain")
    return largest_component(_enclosed_in_slices(seen > otsu(seen)))


def _enclosed_in_slices(mask: Mask) -> Mask:
    """``mask`` ``[X, Y, Z]`` with what no path within its axial slice joins to the slice's border."""
    from scipy import ndimage

    padded = np.pad(mask, ((1, 1), (1, 1), (0, 0)))
    within = ndimage.generate_binary_structure(3, 1)
    within[1, 1, ::2] = False
    labels, _ = ndimage.label(~padded, within)
    return np.asarray(~np.isin(labels, labels[0, 0]))[1:-1, 1:-1]


def otsu(values: Volume, bins: int = 256) -> float:
    """The threshold that parts ``values`` into two classes of least variance within (Otsu 1979)."""
    counts, edges = np.histogram(values, bins)
    middle = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts)[:-1], counts.sum()
    sums = np.cumsum(counts * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (sums[-1] * below / total - sums[:-1]) ** 2 / (below * (total - below))
    return float(edges[1:-1][np.nanargmax(between)])


def _given(scan: NativeScan, path: Path | None) -> Mask:
    if path is None:
        raise CairnError("Strip method 'given', but no mask was named.", "Set strip.given_pattern.", "config")
    mask = read_mask(path)
    if mask.shape != scan.stored_shape:
        raise CairnError(
            f"{path}: shape {mask.shape}, but {scan.path} has {scan.stored_shape}.",
            "The mask must lie on the reference scan's grid.", "mask-shape",
        )  # fmt: skip
    if not mask.any():
        raise CairnError(f"{path}: the mask is empty.", LOOK, "no-brain")
    return scan.ras_order(mask)


def _from_template(scan: NativeScan, config: PreprocessConfig, resources: Resources) -> Mask:
    head, registration = resources.head, config.registration
    fine = 2.0
    target = block_mean(scan.data, scan.affine, fine)
    source = block_mean(head.data, head.affine, fine)
    if config.strip.template_transform == "syn":
        carried = carry_mask_syn(target, source, block_mean(head.mask, head.affine, fine)[0] >= 0.5, registration.seed)
        rough = resample(carried, np.linalg.inv(target[1]) @ scan.affine, scan.data.shape) >= 0.5
        return refine(scan.data, rough, scan.zooms, in_mm=3.0)
    coarse = registration.template_spacing_mm
    start = np.eye(4)
    where = np.argwhere(target[0] > target[0].mean())
    # Heads end at the vertex, necks end anywhere: tops are brought together, not centres.
    top = target[1][:3, :3] @ [*where.mean(0)[:2], where[:, 2].max()] + target[1][:3, 3]
    there = np.argwhere(source[0] > source[0].mean())
    start[:3, 3] = top - (source[1][:3, :3] @ [*there.mean(0)[:2], there[:, 2].max()] + source[1][:3, 3])
    matrix = register(
        block_mean(head.data, head.affine, coarse), block_mean(scan.data, scan.affine, coarse), "Affine", start, HEADS,
        registration.seed,
    )  # fmt: skip
    step = np.linalg.inv(head.affine) @ np.linalg.inv(matrix) @ scan.affine
    rough = resample(head.mask.astype(np.float32), step, scan.data.shape) >= 0.5
    return refine(scan.data, rough, scan.zooms)
