"""Computed tomography of a subject's map: attenuation in Hounsfield units, and the noise of a scanner.

HU of tissues and findings at about 120 kV are textbook values (Osborn's Brain; Kamalian, Lev, Gupta, Computed
tomography imaging and angiography, Handbook of Clinical Neurology 2016). There is no bias field and no unit of the
site's own: a site differs by a small error of calibration, by noise, and by its slices.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from cairn.cohort.anatomy import BONE, CSF, DGM, GM, MUSCLE, WM, Anatomy, Matrix
from cairn.cohort.draws import stream
from cairn.cohort.fields import step
from cairn.cohort.plan import Visit
from cairn.cohort.scanner import Grid, face, take
from cairn.config.cohort import Site

AIR = -1000.0
TISSUE_HU = (8.0, 38.5, 38.0, 29.0, 1350.0, -88.0, 52.0)  # csf gm dgm wm, compact bone, fat, muscle
DIPLOE_HU, EYE_HU = 620.0, 12.0
HU: Mapping[str, tuple[float, float]] = {  # range from which a subject's value is drawn
    "wmh": (21, 24), "gliosis": (12, 18), "oedema": (17, 22), "shine-through": (25, 29), "infarct": (15, 24),
    "haemorrhage": (58, 80), "meningioma": (40, 47), "necrosis": (18, 26), "nerve": (33, 37), "vessel": (40, 46),
}  # fmt: skip
BLENDS = ("wmh", "gliosis", "oedema", "shine-through", "infarct")
PARTS = ("haemorrhage", "meningioma", "nerve", "vessel")  # what stands in place of tissue
CALIBRATION_HU = 0.8  # standard deviation of a site's fixed error on soft tissue
CALCIFIED = 0.3  # share of tumours of low grade with specks of calcium
LOWEST, HIGHEST = -1024, 3071
FILLED = 0.03  # what tissue shares lack to 1 by rounding, and is no air


def attenuation(anatomy: Anatomy, visit: Visit, site: Site) -> torch.Tensor:
    """HU of a subject's map ``[X, Y, Z]`` without noise."""
    error = float(stream("site", visit.site, "CT").normal(0, CALIBRATION_HU))
    value = {n: float(stream(*visit.draw("hu", n)).uniform(*HU[n])) for n in HU}
    overlays, fractions = anatomy.overlays, anatomy.fractions
    parts = {n: overlays[n] for n in PARTS if n in overlays}
    bone = fractions[BONE]
    cells, eyes = bone * overlays["air-cells"], overlays["eyes"]
    filled = fractions.sum(0) - cells + sum(parts.values())
    tissue = torch.tensor(TISSUE_HU)
    tissue[WM] -= 1.5 * anatomy.ageing
    mottle = anatomy.kept_field(visit, "mottle", 5)
    hu = torch.tensordot(tissue, fractions, dims=1) - cells * tissue[BONE]
    hu += bone * overlays["diploe"] * (1 - overlays["air-cells"]) * (DIPLOE_HU - tissue[BONE])
    hu += 0.8 * anatomy.kept_field(visit, "texture", 4) * anatomy.brain
    hu += (error + 2 * mottle.clamp(-2, 2)) * fractions[MUSCLE] + error * fractions[[CSF, GM, DGM, WM]].sum(0)
    for name in BLENDS:
        if name in overlays:
            hu = hu + (value[name] + 0.7 * mottle - hu) * overlays[name]
    for name, share in parts.items():
        hu = hu + _part(anatomy, visit, name, value, mottle) * share
    hu = hu / filled.clamp(min=0.2)
    hu += (EYE_HU - hu) * eyes
    air = ((1 - filled - FILLED) / (1 - FILLED)).clamp(0, 1) * (1 - eyes)
    return hu * (1 - air) + AIR * air


def _part(anatomy: Anatomy, visit: Visit, name: str, value: Mapping[str, float], mottle: torch.Tensor) -> torch.Tensor:
    """HU of what stands in place of tissue; a tumour may hold necrosis and blood, or specks of calcium."""
    hu = value[name] + (2.5 if name == "haemorrhage" else 1.2) * mottle
    if name != "meningioma":
        return hu
    if "necrosis" in anatomy.overlays:
        grain = anatomy.kept_field(visit, "tumour-grain", 4)
        hu = hu + 3 * grain + 16 * step(grain - 1.3, 0.2)  # blood in places
        return hu + (value["necrosis"] - hu) * anatomy.overlays["necrosis"]
    if stream(*visit.draw("calcium")).random() < CALCIFIED:
        hu = hu + 110 * step(anatomy.kept_field(visit, "tumour-grain", 4) - 1.6, 0.15)
    return hu


def acquire_ct(
    anatomy: Anatomy, hu: torch.Tensor, visit: Visit, site: Site, grid: Grid, pose: Matrix
) -> npt.NDArray[np.int16]:
    """One raw CT: HU averaged over the slice profile, with noise by slice thickness, correlated in the plane.

    Beyond the head, and where a site has removed the face, there is air.
    """
    from scipy import ndimage

    dense = hu - AIR
    if site.release == "defaced":
        dense = dense * (1 - face(anatomy))
    scan = take(anatomy, dense[None], grid, pose)[0].numpy() + AIR
    thick = float(np.linalg.norm(grid.affine[:3, 2]))
    white = stream(*visit.draw("noise", "CT")).standard_normal(grid.shape, dtype=np.float32)
    kernel = ndimage.gaussian_filter(white, (0.6, 0.6, 0))
    noisy = scan + kernel * (site.ct_noise_hu * np.sqrt(5 / thick) / kernel.std())
    return np.asarray(np.clip(np.round(noisy), LOWEST, HIGHEST), np.int16)
