"""The input contract of slice encoders: what a network sees of a raw volume, by the version that was published."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from cairn.config.base import Section

Plane: TypeAlias = Literal["axial", "coronal", "sagittal"]


class SliceContract(Section):
    """From raw Hounsfield units or raw MR values to a slice encoder's input; no window, no clip but that of air."""

    version: Literal["curia-1", "curia-2"] = "curia-2"
    """curia-1: cast to int16, divided by 32767, one z-score a volume. curia-2: one z-score a slice. The processor that
    is released with the weights changed so, and features of the two differ."""
    clip_below_air: bool = False
    """Clip at -1000 HU. In curia-1 without effect: there the image is divided before, and nothing lies that low."""
    size_px: int = Field(default=512, ge=1)
    """Side of the input; slices are resized to it, whatever their shape: bicubic, antialiased."""
    planes: tuple[Plane, ...] = Field(default=("axial",), min_length=1)
    """Which slices of a volume are seen."""

    @property
    def name(self) -> str:
        """All that decides the input, for the card: ``curia-2, 512 px, clipped at air``."""
        clip = ", clipped at air" if self.clip_below_air and self.version != "curia-1" else ""
        return f"{self.version}, {self.size_px} px{clip}"
