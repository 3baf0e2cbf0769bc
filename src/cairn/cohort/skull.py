"""What only X-rays tell apart: a T1-weighted donor shows bone, air cells and the vitreous body of the eye alike dark.

They are told by place and by depth inside the dark: a vault has two tables and spongy bone between, what is thick and
dark in the face is air, the mastoid is a honeycomb of both, and a ball of dark in an orbit is an eye.
"""

from __future__ import annotations

import numpy as np
import torch

from cairn.cohort.anatomy import BONE, Anatomy
from cairn.cohort.fields import mesh, smooth, step
from cairn.cohort.plan import Visit

VAULT = 0.33  # height in the brain's box from which bone is vault
FACE = 0.60  # place from back to front in the brain's box from which what lies below the vault is face
TABLE_MM = 1.8  # thickness of the inner and outer table
WALL_MM = 2.4  # thickness of the walls of sinuses
EYE_MM = 11.5  # radius of an eye
EYES_AT = ((0.26, 0.74), (0.80, 1.06), (0.08, 0.36))  # left and right; search range back to front, below to above


def add_skull(anatomy: Anatomy, visit: Visit) -> None:
    """Overlays ``diploe`` and ``air-cells`` (each a share of the bone that the map has there) and ``eyes``."""
    from scipy import ndimage

    bone = anatomy.fractions[BONE]
    box = anatomy.box
    eyes = _eyes(anatomy)
    inside = torch.from_numpy(
        (ndimage.distance_transform_edt((bone > 0.5).numpy()) * anatomy.voxel_mm).astype(np.float32)
    )
    inside = inside - 0.5 * anatomy.voxel_mm
    vault = step(box[2] - VAULT, 0.015)
    spongy = torch.maximum(vault, step(0.5 - box[1], 0.05)) * (1 - eyes)
    anatomy.overlays["diploe"] = step(inside - TABLE_MM, 0.5) * spongy
    honeycomb = step(anatomy.field(visit, "mastoid", 2.5) + 0.2, 0.25) * step((box[0] - 0.5).abs() - 0.22, 0.02)
    honeycomb = honeycomb * step(0.52 - box[1], 0.02) * step(box[1] - 0.25, 0.02)
    hollow = torch.maximum(step(box[1] - FACE, 0.02), honeycomb) * (1 - vault)
    anatomy.overlays["air-cells"] = step(inside - WALL_MM, 0.5) * hollow * (1 - eyes)
    anatomy.overlays["eyes"] = eyes * bone


def _eyes(anatomy: Anatomy) -> torch.Tensor:
    """Two balls, each where its orbit is darkest."""
    bone, box = anatomy.fractions[BONE], anatomy.box
    dark = smooth(bone, 0.55 * EYE_MM / anatomy.voxel_mm)
    place = mesh(anatomy.shape, anatomy.affine)
    eyes = torch.zeros_like(bone)
    (back, front), (low, high) = EYES_AT[1:]
    for lateral in EYES_AT[0]:
        orbit = ((box[0] - lateral).abs() < 0.07) & (box[1] > back) & (box[1] < front) & (box[2] > low) & (box[2] < high)
        if not orbit.any():
            continue
        seat = np.unravel_index(int((dark * orbit).argmax()), bone.shape)
        away = (place - place[(slice(None), *seat)].view(3, 1, 1, 1)).norm(dim=0)
        eyes = torch.maximum(eyes, step(EYE_MM - away, 0.35 * anatomy.voxel_mm))
    return eyes
