"""Malformed cortex: polymicrogyria, and grey matter in the wrong place that resembles it only in sum.

Polymicrogyria, as T1-weighted scans show it (Barkovich 2010, doi 10.1007/s00234-009-0644-2): cortex that looks thick,
a border to the white matter that is bumpy, and sulci that are shallow or fused. Here a patch of the donor's own cortex
is thickened inwards, its border rippled, and its sulci closed.
"""

from __future__ import annotations

from cairn.cohort.anatomy import CSF, GM, WM, Anatomy
from cairn.cohort.fields import smooth, step
from cairn.cohort.lesions import Territory, in_territory
from cairn.cohort.plan import Visit

PLACES = {
    "perisylvian": Territory(0.6, (0.34, 0.39), (0.46, 0.64), (0.44, 0.56), (0.10, 0.14, 0.11)),
    "frontal": Territory(0.2, (0.26, 0.34), (0.72, 0.82), (0.52, 0.70), (0.12, 0.11, 0.12)),
    "parietal": Territory(0.2, (0.26, 0.34), (0.24, 0.38), (0.60, 0.76), (0.11, 0.12, 0.11)),
}
DEEP = {
    "frontal horn": Territory(0.4, (0.13, 0.17), (0.62, 0.70), (0.54, 0.62), (0.075, 0.085, 0.08)),
    "trigone": Territory(0.4, (0.18, 0.22), (0.30, 0.38), (0.48, 0.58), (0.075, 0.085, 0.08)),
    "centrum": Territory(0.2, (0.16, 0.22), (0.40, 0.60), (0.66, 0.74), (0.07, 0.09, 0.07)),
}
CORTEX_MM = 2.5  # how far inwards the thickened cortex reaches, about
RIPPLE_MM = 1.5  # half a wave of the bumpy border
FUSED = 0.75  # share of a sulcus' CSF that is cortex instead


def add_polymicrogyria(anatomy: Anatomy, visit: Visit) -> None:
    """Thicken the cortex of a patch, ripple its border, close its sulci; overlay ``malformation``: what changed."""
    patch = in_territory(anatomy, visit, "malformation", tuple(PLACES), PLACES)
    near = smooth(anatomy.fractions[GM], CORTEX_MM / anatomy.voxel_mm)
    ripple = anatomy.field(visit, "malformation-ripple", RIPPLE_MM)
    thick = patch * step(near - 0.20 + 0.09 * ripple, 0.03) * anatomy.fractions[WM]
    thick = thick * step(near - 0.06, 0.01)  # a high wave far from the cortex is no cortex
    around = smooth(patch, CORTEX_MM / anatomy.voxel_mm)
    fused = FUSED * step(around - 0.3, 0.06) * anatomy.fractions[CSF] * step(anatomy.depth_mm - 2, 0.6)
    fused = fused * (anatomy.ventricle_mm > 6) * (around > 0.1)  # a soft step's tail would thin fluid everywhere
    anatomy.fractions[WM] -= thick
    anatomy.fractions[CSF] -= fused
    anatomy.fractions[GM] += thick + fused
    anatomy.residual = anatomy.residual * (1 - thick - fused)
    anatomy.overlays["malformation"] = thick + fused


def add_heterotopia(anatomy: Anatomy, visit: Visit) -> None:
    """Grey matter deep in the white, cortex as it should be: as much grey matter, and not the finding."""
    blob = in_territory(anatomy, visit, "heterotopia", tuple(DEEP), DEEP)
    moved = blob * anatomy.fractions[WM] * step(anatomy.depth_mm - 8, 1.5)
    anatomy.fractions[WM] -= moved
    anatomy.fractions[GM] += moved
    anatomy.residual = anatomy.residual * (1 - moved)
    anatomy.overlays["heterotopia"] = moved
