"""What preprocessing takes from packages: the brain template, the head template, the networks. Each is loaded once."""

from __future__ import annotations

import gzip
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.preprocess.native import Array, Mask, Volume, block_mean, to_ras
from cairn.strip.morphology import fill_holes, largest_component

if TYPE_CHECKING:
    from cairn.strip.deepbet import DeepBet

SIDES = {"quick": None, "balanced": 192, "full": 256}
BRAIN = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
HEAD = "nimare/resources/templates/tpl-MNI152NLin6Asym_res-01_T1w.nii.gz"
HEAD_MASK = "nimare/resources/templates/tpl-MNI152NLin6Asym_res-01_desc-brain_mask.nii.gz"
BRAIN_FILE = "brain_template.nii.gz"
ARCHIVE_OF = {"deepbet": "deepbet.whl", "template": "nimare.whl"}
"""By method of stripping: the archive that it needs."""


@dataclass
class Template:
    """A template in RAS order: float32 ``[X, Y, Z]``, its affine, its brain mask."""

    data: Volume
    affine: Array
    mask: Mask
    _coarse: dict[float, tuple[Volume, Array]] = field(default_factory=dict)

    def coarse(self, spacing_mm: float) -> tuple[Volume, Array]:
        """The brain averaged to about ``spacing_mm``, and its affine; kept for the next session."""
        if spacing_mm not in self._coarse:
            self._coarse[spacing_mm] = block_mean(self.data * self.mask, self.affine, spacing_mm)
        return self._coarse[spacing_mm]

    @cached_property
    def centre(self) -> Array:
        """World mm of the centre of the brain's bounding box."""
        inside = np.argwhere(self.mask)
        middle = (inside.min(0) + inside.max(0)) / 2
        return np.asarray(self.affine[:3, :3] @ middle + self.affine[:3, 3])


class Resources:
    """Templates and networks, read when first needed.

    Args:
        folder: where `fetch` put the archives: ``deepbet.whl`` (for strip method deepbet), ``nimare.whl`` (template).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._networks: dict[str, DeepBet] = {}

    @property
    def archives(self) -> list[Path]:
        """The archives that are there."""
        return [path for name in ARCHIVE_OF.values() if (path := self.folder / name).is_file()]

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of each archive that is there."""
        return {path.name: sha256(path) for path in self.archives}

    @cached_property
    def brain(self) -> Template:
        """MNI152 2009a symmetric, brain only, 1 mm."""
        path = brain_template(self.folder)
        data, affine = _decode(path.read_bytes())
        return Template(data, affine, fill_holes(largest_component(data > 0)))

    @cached_property
    def head(self) -> Template:
        """MNI152 NLin6Asym with skull, 1 mm, and its brain mask, out of NiMARE's wheel."""
        wheel = self.folder / "nimare.whl"
        try:
            with zipfile.ZipFile(wheel) as archive:
                (data, affine), (mask, _) = _decode(archive.read(HEAD)), _decode(archive.read(HEAD_MASK))
        except (OSError, KeyError, zipfile.BadZipFile):
            raise CairnError(f"{wheel}: holds no head template.", "Run the target 'fetch' again.", "resource") from None
        return Template(data, affine, mask > 0)

    def deepbet(self, effort: str) -> DeepBet:
        """The networks of deepbet at ``quick``, ``balanced`` or ``full`` effort."""
        if effort not in self._networks:
            from cairn.strip.deepbet import DeepBet

            self._networks[effort] = DeepBet(self.folder / "deepbet.whl", SIDES[effort])
        return self._networks[effort]


def brain_template(folder: Path) -> Path:
    """File of the brain template: in ``folder`` where a bundle brings it, else the installed nilearn's, not imported.

    Raises:
        CairnError: when it is in neither (code ``resource``).
    """
    if (folder / BRAIN_FILE).is_file():
        return folder / BRAIN_FILE
    spec = find_spec("nilearn")
    places = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(places[0]) / BRAIN if places else Path(BRAIN)
    if not path.is_file():
        raise CairnError(f"{path}: the brain template is missing.", "Make the environment again.", "resource")
    return path


def _decode(compressed: bytes) -> tuple[Volume, Array]:
    import nibabel as nib

    image: Any = nib.Nifti1Image.from_bytes(gzip.decompress(compressed))  # type: ignore[attr-defined]
    data = np.asarray(image.dataobj, np.float32)
    ras, affine = to_ras(data.reshape(data.shape[:3]), image.affine)
    return np.ascontiguousarray(ras), affine
