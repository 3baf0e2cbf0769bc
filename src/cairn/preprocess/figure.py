"""A session's picture for quality control: stripped brain, one row a sequence, with the template's outline."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np

from cairn.io.boxes import bounding_box
from cairn.io.geometry import resample
from cairn.io.shard import SessionGeometry
from cairn.preprocess.native import Array, Mask, Volume
from cairn.preprocess.resources import Template

TILE = 112  # pixels of a slice's longer side
OUTLINE = np.array([255, 176, 0], np.uint8)  # amber: seen on grey by every kind of colour vision
SLICES = ((2, 0.35), (2, 0.52), (2, 0.68), (1, 0.5), (0, 0.42))  # axis, and where between the brain's ends
QUALITY = 82
FACE = (0.6, 0.7)  # shares of the head's box, from the back and from below, between which the face lies


def session_picture(
    pictures: Mapping[str, Volume], mask: Mask, geometry: SessionGeometry, template: Template | None,
    head: bool = False,
) -> bytes:  # fmt: skip
    """JPEG of a session: per sequence three axial slices, a coronal and a sagittal one; patient's left is left.

    Args:
        pictures: volumes on the grid, 0 outside what may be shown.
        mask: the brain on the grid.
        geometry: of the session.
        template: the brain template, whose outline shows how well the brain lies on it; None where it does not
            (``align: none``).
        head: whether the mask is that of a whole head: then the face is left out.
    """
    from PIL import Image

    low, high = bounding_box(mask if mask.any() else np.ones_like(mask))
    ends = (np.array(low), np.array(high) - 1)
    slices = [(axis, round(float(a[axis] + share * (b[axis] - a[axis])))) for a, b in (ends,) for axis, share in SLICES]
    outlines: list[Mask | None] = [None for _ in slices]
    if template is not None:
        outlines = [_outline(template, geometry, axis, at) for axis, at in slices]
    zoom = max(1, round(TILE / max(geometry.shape)))
    if head:  # nobody is to be known by their face
        pictures = {name: _faceless(volume, ends) for name, volume in pictures.items()}
    rows = [_row(volume, mask, slices, outlines, zoom) for volume in pictures.values()]
    width = max(r.shape[1] for r in rows)
    rows = [np.pad(r, ((0, 2), (0, width - r.shape[1]), (0, 0))) for r in rows]
    out = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _faceless(volume: Volume, ends: tuple[Array, Array]) -> Volume:
    """The volume without what lies in front and below: of a head in RAS order the face, from the brow down."""
    (_, back, low), (_, front, high) = ends
    shown = volume.copy()
    shown[:, round(back + FACE[0] * (front - back)) :, : round(low + FACE[1] * (high - low)) + 1] = 0
    return shown


def _outline(template: Template, geometry: SessionGeometry, axis: int, at: int) -> Mask:
    """The template's brain on one slice of the session's grid, turned as it is shown; no other slice is needed."""
    to_slice = np.eye(4)
    to_slice[axis, 3] = at
    shape = tuple(1 if a == axis else n for a, n in enumerate(geometry.shape))
    step = np.linalg.inv(template.affine) @ geometry.affine @ to_slice
    return _turned(resample(template.mask, step, shape) >= 0.5, axis, 0)


def _row(
    volume: Volume, mask: Mask, slices: Sequence[tuple[int, int]], outlines: Sequence[Mask | None], zoom: int
) -> Array:
    brain = volume[mask]
    low, high = np.percentile(brain, (1, 99.5)) if brain.size else (0.0, 1.0)
    low = min(low, float(np.median(brain)) * 0.3) if brain.size else low
    tiles = []
    for (axis, at), outline in zip(slices, outlines, strict=True):
        grey = np.clip((_turned(volume, axis, at) - low) / max(high - low, 1e-6), 0, 1)
        shown = _turned(volume, axis, at) != 0
        tile = np.repeat((np.where(shown, grey, 0) * 255).astype(np.uint8)[..., None], 3, axis=2)
        tile = np.kron(tile, np.ones((zoom, zoom, 1), np.uint8))
        if outline is not None:
            tile[_edge(np.kron(outline, np.ones((zoom, zoom), bool)))] = OUTLINE
        tiles.append(tile)
    height = max(t.shape[0] for t in tiles)
    return np.concatenate([np.pad(t, ((0, height - t.shape[0]), (0, 2), (0, 0))) for t in tiles], axis=1)


def _turned(volume: Array, axis: int, at: int) -> Array:
    """A slice as an image: up is superior (axial: anterior), patient's left is left."""
    return np.asarray(np.take(volume, at, axis).T[::-1])


def _edge(mask: Mask) -> Mask:
    inner = mask.copy()
    for axis in (0, 1):
        for shift in (-1, 1):
            inner &= np.roll(mask, shift, axis)
    return np.asarray(mask & ~inner)
