"""What only X-rays tell apart: a T1-weighted donor shows bone, air cells and the vitreous body of the eye alike dark.

They are told by place and by depth inside the dark: a vault has two tables and spongy bone between, what is thick and
dark in the face is air, the mastoid is a honeycomb of both, and a ball of dark in an orbit is an eye.
"""

from __future__ import annotations

import numpy as np
import torch

from cairn.cohort.anatomy import BONE, FAT, Anatomy
from cairn.cohort.fields import smooth, step
from cairn.cohort.plan import Visit

VAULT = 0.33  # height in the brain's box from which bone is vault
FACE = 0.60  # place from back to front in the brain's box from which what lies below the vault is face
SINUS = (0.13, 0.75, 0.43)  # beside the midline, from back to front, and up to which ethmoid and frontal sinuses reach
TABLE_MM = 1.8  # thickness of the inner and outer table
WALL_MM = 2.4  # thickness of the walls of sinuses
EYE_MM = 12.0  # radius of an eye
EYE_AT = (0.24, 0.945, 0.335)  # lateral, back to front, below to above: about where eyes lie in the brain's box


def add_skull(anatomy: Anatomy, visit: Visit) -> None:
    """Overlays ``diploe`` and ``air-cells`` (shares of the bone that the map has there) and ``eyes`` (of the voxel)."""
    from scipy import ndimage

    bone = anatomy.fractions[BONE]
    box = anatomy.box
    eyes = _eyes(anatomy)
    inside = torch.from_numpy(
        (ndimage.distance_transform_edt((bone > 0.5).numpy()) * anatomy.voxel_mm).astype(np.float32)
    )
    inside = smooth(inside - 0.5 * anatomy.voxel_mm, 1.0)  # whole voxels would make the tables of a thin vault beaded
    vault = step(box[2] - VAULT, 0.015)
    spongy = torch.maximum(vault, step(0.5 - box[1], 0.05)) * (1 - eyes)
    anatomy.overlays["diploe"] = step(inside - TABLE_MM, 0.5) * spongy
    honeycomb = step(anatomy.field(visit, "mastoid", 3.5) + 0.2, 0.25) * step((box[0] - 0.5).abs() - 0.22, 0.02)
    honeycomb = honeycomb * step(0.52 - box[1], 0.02) * step(box[1] - 0.25, 0.02)
    sinuses = (
        step(SINUS[0] - (box[0] - 0.5).abs(), 0.02) * step(box[1] - SINUS[1], 0.02) * step(SINUS[2] - box[2], 0.02)
    )
    face = step(box[1] - FACE, 0.02) * (1 - vault)
    hollow = torch.maximum(torch.maximum(face, sinuses), honeycomb * (1 - vault))
    anatomy.overlays["air-cells"] = step(inside - WALL_MM, 0.5) * hollow * (1 - eyes)
    anatomy.overlays["eyes"] = eyes


def _eyes(anatomy: Anatomy) -> torch.Tensor:
    """Two balls, each near its usual place and where an orbit is dark in the middle and has fat around."""
    box, voxel_mm = anatomy.box, anatomy.voxel_mm
    dark = smooth(anatomy.fractions[BONE], 0.4 * EYE_MM / voxel_mm)
    fat = smooth(anatomy.fractions[FAT], 1.2 * EYE_MM / voxel_mm)
    eyes = torch.zeros_like(dark)
    for lateral in (0.5 - EYE_AT[0], 0.5 + EYE_AT[0]):
        astray = sum(((box[k] - at) / 0.06) ** 2 for k, at in enumerate((lateral, *EYE_AT[1:])))
        seat = np.unravel_index(int((dark + 2 * fat - 0.2 * astray).argmax()), dark.shape)
        away = [
            (torch.arange(n, dtype=torch.float32) - int(i)) * voxel_mm for n, i in zip(dark.shape, seat, strict=True)
        ]
        squared = (away[0] ** 2)[:, None, None] + (away[1] ** 2)[None, :, None] + (away[2] ** 2)[None, None, :]
        eyes = torch.maximum(eyes, step(EYE_MM - squared.sqrt(), 0.35 * voxel_mm))
    return eyes
