"""Donor heads: made once from a package's T1-weighted volume, kept as one file, opened by every shard."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cairn.cohort.archives import read_volume
from cairn.cohort.tissue import RESIDUAL_LIMIT, TISSUES, Tissues, head_tissues
from cairn.config.cohort import DonorSource
from cairn.errors import CairnError
from cairn.io.atomic import atomic_path
from cairn.io.shard import read_safetensors_header

FORMAT = 1
RESIDUAL_STEP = RESIDUAL_LIMIT / 127


@dataclass(frozen=True)
class Donor:
    """A donor head: its tissue model, voxel size (mm), brain volume (ml) and whether it averages many people."""

    name: str
    tissues: Tissues
    voxel_mm: float
    average: bool

    @property
    def brain_ml(self) -> float:
        """Volume of the brain mask."""
        return float((self.tissues.depth_mm > 0).sum()) * self.voxel_mm**3 / 1000


def build_donor(name: str, source: DonorSource, archive: Path, deepbet: Path, voxel_mm: float) -> Donor:
    """Read a donor's head out of its package and model its tissues at ``voxel_mm``.

    The brain mask is deepbet's, joined with the shipped one: shipped masks differ in whether they hold the outer CSF,
    and all donors should mean the same by brain.

    Raises:
        CairnError: from the archive, or when no brain is found.
    """
    from scipy import ndimage as ndi

    from cairn.strip.deepbet import DeepBet

    head, zooms = read_volume(archive, source.image)
    head = np.maximum(head, 0)
    brain = DeepBet(deepbet).mask(head, zooms)
    if source.mask is not None:
        shipped, _ = read_volume(archive, source.mask)
        if shipped.shape != head.shape:
            raise CairnError(f"Donor '{name}': mask and image differ in shape.", "Correct the donor's entry.")
        brain = brain | (shipped > 0)
    factor = np.array(zooms) / voxel_mm
    blur = [max(0.0, 0.4 * (1 / f - 1)) for f in factor]  # against aliasing where the donor is finer
    head = ndi.zoom(ndi.gaussian_filter(head, blur), factor, order=1, grid_mode=True, mode="nearest")
    mask = ndi.zoom(brain.astype(np.float32), factor, order=1, grid_mode=True, mode="nearest") > 0.5
    return Donor(name, head_tissues(head, mask, voxel_mm, source.plain_scalp), voxel_mm, source.average)


def save_donor(path: Path, donor: Donor) -> None:
    """Write a donor as safetensors: fractions and residual as bytes, distances as float16."""
    from safetensors.numpy import save_file

    t = donor.tissues
    tensors: dict[str, npt.NDArray[np.generic]] = {
        "fractions": np.round(t.fractions * 255).astype(np.uint8),
        "residual": np.round(t.residual / RESIDUAL_STEP).astype(np.int8),
        "ventricle_mm": t.ventricle_mm.clip(-99, 99).astype(np.float16),
        "depth_mm": t.depth_mm.clip(-99, 99).astype(np.float16),
    }
    header = {
        "format": FORMAT, "name": donor.name, "voxel_mm": donor.voxel_mm, "average": donor.average,
        "box_low": t.box_low.tolist(), "box_high": t.box_high.tolist(), "tissues": TISSUES,
    }  # fmt: skip
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"cairn": json.dumps(header, sort_keys=True)})


def load_donor(path: Path) -> Donor:
    """Read a donor file.

    Raises:
        CairnError: when it is missing, truncated or not a donor file.
    """
    from safetensors.numpy import load_file

    try:
        header = json.loads(read_safetensors_header(path)["__metadata__"]["cairn"])
        if header["format"] != FORMAT or tuple(header["tissues"]) != TISSUES:
            raise KeyError
    except KeyError:
        raise CairnError(f"{path}: not a donor file of this version.", "Run the donor stage again.", "donor") from None
    data = load_file(path)
    tissues = Tissues(
        fractions=data["fractions"].astype(np.float32) / np.float32(255),
        residual=data["residual"].astype(np.float32) * np.float32(RESIDUAL_STEP),
        ventricle_mm=data["ventricle_mm"].astype(np.float32),
        depth_mm=data["depth_mm"].astype(np.float32),
        box_low=np.array(header["box_low"], np.float32),
        box_high=np.array(header["box_high"], np.float32),
    )
    return Donor(header["name"], tissues, header["voxel_mm"], header["average"])
