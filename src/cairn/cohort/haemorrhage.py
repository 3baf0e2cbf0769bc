"""Acute bleeding: inside the brain, or as a crescent between dura and brain that pushes the brain away."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cairn.cohort.anatomy import WM, Anatomy, Frame
from cairn.cohort.draws import stream
from cairn.cohort.fields import smooth, step
from cairn.cohort.lesions import Range, Territory, in_territory
from cairn.cohort.plan import Visit

# Where spontaneous haematomas lie, about in the shares that large series give; half axes in the brain's box.
HAEMATOMAS = {
    "basal-ganglia": Territory(0.45, (0.17, 0.22), (0.48, 0.58), (0.46, 0.58), (0.075, 0.10, 0.09), (0.6, 1.5)),
    "thalamus": Territory(0.18, (0.07, 0.10), (0.42, 0.48), (0.46, 0.54), (0.06, 0.07, 0.07), (0.7, 1.3)),
    "lobar": Territory(0.27, (0.22, 0.32), (0.25, 0.78), (0.55, 0.78), (0.09, 0.11, 0.10), (0.7, 1.4)),
    "cerebellar": Territory(0.10, (0.12, 0.18), (0.20, 0.26), (0.17, 0.24), (0.09, 0.08, 0.07), (0.7, 1.2)),
}
THICKNESS_MM: Range = (6.0, 14.0)  # of a subdural crescent, where it is thickest
SPREAD = (0.30, 0.24)  # its half width back to front and below to above, in the brain's box
PUSH_MM = 22.0  # how deep into the brain its push is felt
RIM_MM = 3.0  # oedema around a haematoma


@dataclass(frozen=True)
class Subdural:
    """A crescent before tissue is moved: the share of each voxel that it fills, and the depth of the whole brain."""

    inside: torch.Tensor
    depth_mm: torch.Tensor


def place_subdural(frame: Frame, visit: Visit, voxel_mm: float, side: float | None) -> tuple[torch.Tensor, Subdural]:
    """A crescent over one convexity, and the shift ``[3, X, Y, Z]`` (mm) of the frame's points beneath it.

    Tissue under the crescent comes from further out by the crescent's thickness, fading with depth; the dura stays.
    """
    rng = stream(*visit.draw("subdural"))
    drawn = float(rng.choice([-1.0, 1.0]))
    side = drawn if side is None else side
    depth, box = frame.pick(frame.donor.maps[-1:])[0], frame.box
    y, z = float(rng.uniform(0.42, 0.66)), float(rng.uniform(0.58, 0.74))
    over = torch.exp(-(((box[1] - y) / SPREAD[0]) ** 2) - ((box[2] - z) / SPREAD[1]) ** 2)
    over = over * step(side * (box[0] - 0.5) - 0.12, 0.025)
    thickness = (float(rng.uniform(*THICKNESS_MM)) * over * 1.15 - 1.0).clamp(min=0)
    inside = step(thickness - depth, 0.35 * voxel_mm) * step(depth + 0.8, 0.35 * voxel_mm)
    inside = inside * (thickness / 1.5).clamp(max=1)
    smoothed = smooth(depth, 2 / voxel_mm)
    outward = -torch.stack([torch.gradient(smoothed, dim=k)[0] for k in range(3)]) / voxel_mm
    outward = outward / (outward.norm(dim=0, keepdim=True) + 0.1)
    fade = torch.exp(-(((depth - thickness).clamp(min=0) / PUSH_MM) ** 2))
    return outward * torch.minimum(thickness, depth.clamp(min=0)) * fade, Subdural(inside, depth)


def add_haematoma(anatomy: Anatomy, visit: Visit, side: float | None) -> None:
    """Bleeding into the brain, with a thin rim of oedema."""
    blood = in_territory(anatomy, visit, "haematoma", tuple(HAEMATOMAS), HAEMATOMAS, side)
    rim = (1.6 * smooth(blood, RIM_MM / anatomy.voxel_mm)).clamp(0, 1) * (1 - blood) * anatomy.fractions[WM]
    fill_with(anatomy, "haemorrhage", blood)
    anatomy.overlays["oedema"] = torch.maximum(anatomy.overlays.get("oedema", torch.zeros_like(rim)), rim)


def fill_with(anatomy: Anatomy, name: str, share: torch.Tensor) -> None:
    """Put a finding in place of the tissue, and of the findings, that were there."""
    cover(anatomy, share)
    anatomy.fractions *= 1 - share
    anatomy.residual = anatomy.residual * (1 - share)
    anatomy.overlays[name] = share


def cover(anatomy: Anatomy, share: torch.Tensor) -> None:
    """Take all findings away where something else will be."""
    for name, overlay in anatomy.overlays.items():
        anatomy.overlays[name] = overlay * (1 - share)
