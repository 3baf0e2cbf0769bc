"""How tissue and findings look on each MR sequence. Unit signal is about white matter on T1w; ADC is in 1e-3 mm²/s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from cairn.cohort.anatomy import GM, WM, Anatomy
from cairn.cohort.draws import stream
from cairn.cohort.plan import Visit
from cairn.cohort.tissue import TISSUES
from cairn.config.cohort import Sequence, Site

DIFFUSION: tuple[Sequence, ...] = ("DWI", "ADC")
SUSCEPTIBILITY: tuple[Sequence, ...] = ("SWI", "T2star")


@dataclass(frozen=True)
class Look:
    """Signal of each tissue (csf gm dgm wm bone fat muscle) and finding; ``texture`` weighs the donor's residual."""

    tissues: tuple[float, ...]
    infarct: float
    meningioma: float
    oedema: float
    wmh: float
    shine_through: float
    gliosis: float
    texture: float


LOOKS: Mapping[Sequence, Look] = {
    "T1w": Look((0.26, 0.63, 0.72, 0.96, 0.12, 1.10, 0.48), 0.60, 0.66, 0.68, 0.76, 0.66, 0.55, 1.0),
    "T2w": Look((1.75, 0.98, 0.76, 0.58, 0.08, 0.80, 0.30), 1.22, 1.02, 1.30, 1.05, 1.20, 1.40, -0.7),
    "FLAIR": Look((0.10, 0.84, 0.72, 0.58, 0.08, 0.58, 0.34), 1.18, 0.87, 1.15, 1.15, 1.22, 1.20, -0.35),
    "DWI": Look((0.10, 0.66, 0.56, 0.54, 0.03, 0.05, 0.10), 1.40, 0.70, 0.52, 0.60, 0.98, 0.40, -0.25),
    "ADC": Look((3.0, 0.86, 0.78, 0.76, 0.10, 0.20, 0.60), 0.42, 0.86, 1.45, 1.05, 1.25, 1.80, -0.2),
    "SWI": Look((0.98, 0.86, 0.58, 0.70, 0.08, 0.38, 0.45), 0.78, 0.70, 0.82, 0.80, 0.84, 0.90, -0.25),
    "T2star": Look((1.30, 0.90, 0.62, 0.66, 0.06, 0.45, 0.40), 0.95, 0.80, 1.00, 0.90, 0.98, 1.10, -0.3),
}
TUBES: Mapping[Sequence, tuple[float, float]] = {  # nerve (white matter), vessel (flow void, or inflow on T1w)
    "T1w": (0.88, 0.35), "T2w": (0.64, 0.10), "FLAIR": (0.60, 0.08), "DWI": (0.54, 0.04), "ADC": (0.85, 1.0),
    "SWI": (0.70, 0.60), "T2star": (0.66, 0.60),
}  # fmt: skip
BLOOD: Mapping[Sequence, tuple[float, float]] = {  # acute: in the brain, and subdural
    "T1w": (0.60, 0.68), "T2w": (0.50, 1.10), "FLAIR": (0.52, 1.15), "DWI": (0.40, 0.75), "ADC": (0.60, 1.10),
    "SWI": (0.18, 0.35), "T2star": (0.18, 0.35),
}  # fmt: skip
NECROSIS: Mapping[Sequence, float] = {
    "T1w": 0.40, "T2w": 1.55, "FLAIR": 0.72, "DWI": 0.34, "ADC": 2.1, "SWI": 0.90, "T2star": 1.20,
}  # fmt: skip
DELAY_SHOWS = {"FLAIR": (0.35, 1.0), "T2w": (0.35, 1.0), "T1w": (0.1, 0.7), "T2star": (0.2, 0.6), "SWI": (0.2, 0.6)}


def signal(anatomy: Anatomy, visit: Visit, site: Site, sequence: Sequence) -> torch.Tensor:
    """Noise-free signal of a subject's map ``[X, Y, Z]`` on a sequence, as the visit's site would see it."""
    look = LOOKS[sequence]
    tissues = _site_contrast(look, visit, site, sequence)
    if sequence == "T1w":  # white matter fades against grey with age
        tissues[WM] = tissues[GM] + (tissues[WM] - tissues[GM]) * (1 - 0.14 * anatomy.ageing)
    image = torch.tensordot(torch.tensor(tissues, dtype=torch.float32), anatomy.fractions, dims=1)
    image += look.texture * anatomy.residual + 0.02 * anatomy.kept_field(visit, "texture", 4) * anatomy.brain
    rng = stream(*visit.draw("finding", sequence))
    mottle = 1 + 0.05 * anatomy.kept_field(visit, "mottle", 5)
    image = _blend(image, look.wmh * mottle, anatomy.overlays.get("wmh"), 0.9)
    image = _blend(image, look.gliosis * mottle, anatomy.overlays.get("gliosis"), 0.8)
    image = _blend(image, look.oedema * mottle, anatomy.overlays.get("oedema"), 0.85)
    strength = float(rng.uniform(0.75, 1.15))
    image = _blend(image, look.shine_through * mottle, anatomy.overlays.get("shine-through"), 0.8 * strength)
    shows = float(rng.uniform(*DELAY_SHOWS.get(sequence, (0.75, 1.0))))  # T2 and FLAIR lag behind diffusion
    image = _blend(image, look.infarct * mottle, anatomy.overlays.get("infarct"), 0.95 * shows)
    if "meningioma" in anatomy.overlays:
        own = 1.0 if sequence == "ADC" else float(stream(*visit.draw("tumour-brightness")).uniform(0.90, 1.20))
        image += anatomy.overlays["meningioma"] * look.meningioma * own * mottle
        image = _blend(image, NECROSIS[sequence] * mottle, anatomy.overlays.get("necrosis"), 0.9)
    if "haemorrhage" in anatomy.overlays:
        subdural = visit.case is not None and visit.case.haemorrhage == "subdural"
        own = float(stream(*visit.draw("blood", sequence)).uniform(0.88, 1.15))
        image += anatomy.overlays["haemorrhage"] * BLOOD[sequence][subdural] * own * mottle
    for name, value in zip(("nerve", "vessel"), TUBES[sequence], strict=True):
        if name in anatomy.overlays:
            image += anatomy.overlays[name] * value * mottle
    if sequence in SUSCEPTIBILITY:
        veins = 0.7 if sequence == "SWI" else 0.35
        dark = 1 - veins * anatomy.overlays["veins"]
        if "microbleeds" in anatomy.overlays:
            dark = dark - 0.85 * anatomy.overlays["microbleeds"]
        image *= dark.clamp(min=0.05)
    if sequence in DIFFUSION:
        image *= 1 - 0.55 * sinus(anatomy.box)
    return image.clamp(min=0)


def sinus(box: torch.Tensor) -> torch.Tensor:
    """1 above the frontal sinuses and fading within some centimetres: where echo-planar scans suffer."""
    squared = ((box[0] - 0.5) / 0.16) ** 2 + ((box[1] - 0.93) / 0.13) ** 2 + ((box[2] - 0.22) / 0.14) ** 2
    return torch.exp(-squared)


def _site_contrast(look: Look, visit: Visit, site: Site, sequence: Sequence) -> np.ndarray:
    """Tissue signals with the site's fixed departure and the subject's jitter."""
    fixed = stream("site", visit.site, sequence).normal(0, site.contrast, len(TISSUES))
    own = stream(*visit.draw("contrast", sequence)).normal(0, site.jitter, len(TISSUES))
    scale = 0.4 if sequence == "ADC" else 1.0  # a physical quantity, not an arbitrary unit
    return np.asarray(np.asarray(look.tissues) * np.exp(scale * (fixed + own)), float)


def _blend(image: torch.Tensor, target: torch.Tensor, share: torch.Tensor | None, weight: float) -> torch.Tensor:
    """Move ``image`` towards ``target`` where ``share`` says so."""
    return image if share is None else image + (target - image) * share * min(1.0, weight)
