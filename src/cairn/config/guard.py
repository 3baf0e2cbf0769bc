"""Limits of the guard: what a stranger's scan may be, checked before memory is taken for it."""

from __future__ import annotations

from math import ceil
from typing import Literal

from pydantic import Field, model_validator

from cairn.config.base import Section

BASE_MB = 900  # libraries and templates of a job that preprocesses


class GuardConfig(Section):
    """What a scan may be. Beyond these limits it is refused by name (docs/reference/quarantine.md lists the codes)."""

    max_voxels: int = Field(default=512 * 512 * 320, ge=1)
    """Voxels of one scan, or mask. With more, preprocessing asks for more memory than its rule's 2,500 MB."""

    max_data_mib: float = Field(default=640.0, gt=0)
    """Unpacked voxel data of one scan: as many voxels of 8 bytes. With more, preprocessing asks for more memory."""

    max_compression_ratio: float = Field(default=300.0, gt=1)
    """Unpacked size, as the header claims it, over the size of a gzip file. Heads reach about 60 when stripped; gzip
    ends at 1032. Scans of less than 32 MiB and masks, which may be empty, are exempt."""

    max_extension_mib: float = Field(default=16.0, ge=0)
    """Room between a header and its voxels."""

    max_trailing_kib: float = Field(default=1024.0, ge=0)
    """What may lie behind the voxels. Less is ignored and recorded; more means that the header is not this file's."""

    voxel_mm: tuple[float, float] = (0.05, 30.0)
    """Least and greatest voxel size."""

    extent_mm: tuple[float, float] = (50.0, 1000.0)
    """Least and greatest length of a scan's longest side: a head in centimetres or metres is neither."""

    min_slices: int = Field(default=2, ge=2)
    """Voxels along the shortest side. FOMO drops scans of less than 15."""

    max_not_finite: float = Field(default=0.01, ge=0, le=1)
    """Share of NaN and infinite voxels; up to it they are set to 0."""

    max_intensity: float = Field(default=1e12, gt=0)
    """Greatest magnitude of a voxel: squares of more overflow in float32."""

    left_right: Literal["sform", "refuse"] = "sform"
    """What to do where qform and sform put the patient's left on different sides. sform: it is followed, and the
    quality report flags the scan. refuse: the scan is quarantined."""

    no_orientation: Literal["assume", "refuse"] = "assume"
    """What to do where a header has neither qform nor sform, and so does not tell left from right. assume: first voxels
    are the patient's right (radiological order), and the quality report flags the scan. refuse: it is quarantined."""

    follow_links: bool = False
    """Whether a symbolic link may lead out of the data set's folder, as DVC's and DataLad's caches may have it."""

    @property
    def memory_mb(self) -> int:
        """Memory (10^6 bytes) of a job that reads a scan at these limits while it holds another.

        That is the voxels as stored, as float32 and as a mask of those that are not finite, the other's float32 and
        brain mask, and what libraries and templates take.
        """
        return BASE_MB + ceil(self.max_data_mib * 2**20 / 1e6) + ceil(10 * self.max_voxels / 1e6)

    @model_validator(mode="after")
    def _ordered(self) -> GuardConfig:
        for name in ("voxel_mm", "extent_mm"):
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ValueError(f"{name}: the first must be above 0 and below the second")
        return self
