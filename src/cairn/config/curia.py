"""Section of Curia's pretraining in 2D, and of Curia-2's, each of whose changes is a switch here.

Curia (arXiv 2509.06830) is DINOv2 (Oquab et al. 2023, arXiv 2304.07193) on slices of CT and MRI. Neither its recipe nor
that of Curia-2 (arXiv 2604.01987) is published as code; the model card gives the network and the input contract. What
was not found is marked *not published* below: it stands at DINOv2's value or at that of a public re-implementation.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from cairn.config.augment import IntensityConfig
from cairn.config.base import Section
from cairn.config.networks import Dinov2Config, NetworkConfig
from cairn.config.prototypes import PrototypeConfig, Span
from cairn.config.slices import SliceContract
from cairn.config.views import ObjectiveSection
from cairn.errors import CairnError


class StageConfig(Section):
    """One resolution of a training in stages."""

    px: int = Field(ge=1)
    """Side of a global crop; that of a local one is smaller or larger in proportion, in whole patches."""
    from_step: int = Field(ge=0)
    """First update (from 0) at this resolution; a number, so that a longer run begins no differently."""


class CuriaConfig(PrototypeConfig, ObjectiveSection):
    """Self-distillation on slices: DINO, iBOT and KoLeo over random resized crops of CT and MRI, as in DINOv2."""

    least_batch: ClassVar[int] = 2
    dims: ClassVar[int] = 2
    whole_batch: ClassVar[bool] = True

    kind: Literal["curia"] = "curia"
    """The objective."""

    contract: SliceContract = SliceContract(planes=("axial", "coronal", "sagittal"))
    """What a slice is before crops are cut: planes (equally likely), version, side. ``curia-1`` has one z-score a
    volume, and reads each volume whole once for it. (That training clips at air is published as a switch, not how it
    stands.)"""
    ct_share: float | None = Field(default=None, ge=0, le=1)
    """Share of the slices that are CT, of sessions that have both; default: every sequence of a session is equally
    likely (not published; Curia's corpus has about 72 % CT slices)."""
    air_hu: float = -500.0
    """CT: pixels up to this value are air, no content. Half way between air and water."""
    air_share: float = Field(default=0.1, ge=0, lt=1)
    """MRI: pixels up to this share of the 99th percentile of the slice are air, no content."""
    min_slice_content: float = Field(default=0.1, ge=0, lt=1)
    """Least share of a slice that is content; slices with less are drawn anew. 0: every slice is taken."""
    slice_tries: int = Field(default=10, ge=1)
    """Slices drawn at most; then the one with most content is taken."""

    global_px: int = Field(default=64, ge=1)
    """Side of the two global crops after resizing (DINOv2: 224; Curia: 512, the image size of the released model)."""
    local_px: int = Field(default=32, ge=1)
    """Side of a local crop after resizing (DINOv2: 96; Curia: not published)."""
    local_crops: int = Field(default=4, ge=1)
    """Local crops of a slice (DINOv2: 8)."""
    global_scale: Span = (0.32, 1.0)
    """Share of the slice's area in a global crop (DINOv2; a re-implementation of Curia-2: 0.4 to 1)."""
    local_scale: Span = (0.05, 0.32)
    """Share of the slice's area in a local crop (DINOv2; a re-implementation of Curia-2: 0.08 to 0.2)."""
    crop_aspect: float = Field(default=0.75, gt=0, le=1)
    """A crop's height over its width, in units of the slice's, lies between this and its reciprocal (DINOv2)."""
    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of a left-right flip of a crop. Sagittal slices are not flipped: front and back differ."""
    intensity: IntensityConfig = IntensityConfig(
        noise=0.1, noise_std=0.1, blur=0.3, bias=0, gamma=0, contrast=0.5, low_resolution=0, gibbs=0, ghosting=0
    )
    """Undergone by each crop on its own, after the z-score (not published). In raw CT a value means a tissue. A scale
    and a shift, as small as the z-score of another slice would make them, leave the order and the ratios of the
    tissues; gamma would not. Bias, ghosts and rings are MRI's."""

    shared_head: bool = False
    """One head for crops and hidden places (DINOv2's default), or two (its recipe for ViT-L, which the released
    network follows)."""
    mask_probability: float = Field(default=0.5, ge=0, le=1)
    """Probability that patches of a global crop are hidden from the student, drawn for each (DINOv2)."""
    mask_ratio: Span = (0.1, 0.5)
    """Share of the patches that are hidden there, drawn for each (DINOv2; a re-implementation of Curia-2: 0.4)."""
    mask_block: float = Field(default=0.5, gt=0, le=1)
    """Largest share of the patches in one block (DINOv2; a re-implementation of Curia-2: 0.35)."""
    mask_aspect: float = Field(default=0.3, gt=0, le=1)
    """A block's height over its width lies between this and its reciprocal (DINOv2)."""

    layer_decay: float = Field(default=1.0, gt=0, le=1, exclude_if=lambda v: v == 1)
    """Share of a block's learning rate that the block before it takes, down to the embeddings (DINOv2's default: 0.9,
    for ViT-L and g: 1; Curia: not published)."""
    patch_embed_rate: float = Field(default=1.0, gt=0, le=1, exclude_if=lambda v: v == 1)
    """Share of the embeddings' learning rate that the patch embedding takes (DINOv2: 0.2; Curia: not published)."""

    crops: Literal["uniform", "content"] = "uniform"
    """Curia-2: where crops lie. ``uniform``: anywhere in the slice. ``content``: around a pixel of content that is
    drawn by a Gaussian around the anatomy's centre."""
    crop_sigma: float = Field(default=0.25, gt=0)
    """``content``: standard deviation of that Gaussian, in sides of the slice (not published)."""
    min_content: float = Field(default=0.7, ge=0, le=1)
    """``content``: least share of a crop that is content (a re-implementation's value; not published)."""
    crop_tries: int = Field(default=20, ge=1)
    """``content``: places drawn at most for a crop; then the one with most content is taken (likewise)."""
    masks: Literal["block", "anatomy"] = "block"
    """Curia-2: where hidden blocks lie. ``block``: anywhere. ``anatomy``: by a Gaussian around the anatomy's centre,
    shifted by the place of the crop."""
    mask_sigma: float = Field(default=0.25, gt=0)
    """``anatomy``: standard deviation of that Gaussian, in sides of the crop's grid (a re-implementation's value)."""
    sigreg_weight: float = Field(default=0.0, ge=0)
    """Curia-2: of SIGReg (LeJEPA, arXiv 2511.08544), which draws the class tokens of the global crops towards a
    standard normal. 0: none. (Curia-2's weight is not published; LeJEPA: 0.05 of the whole.)"""
    sigreg_directions: int = Field(default=256, ge=1)
    """Random directions of SIGReg, new at each update."""
    sigreg_points: int = Field(default=17, ge=3)
    """Points of SIGReg's integral (LeJEPA: 17)."""
    stages: tuple[StageConfig, ...] = ()
    """Curia-2: resolutions in the course of the training, low ones first; position embeddings are interpolated.
    Default: ``global_px`` all along. (Curia-2's are not published.)"""

    @model_validator(mode="after")
    def _ordered(self) -> CuriaConfig:
        starts = [stage.from_step for stage in self.stages]
        if starts and (starts[0] != 0 or any(a >= b for a, b in pairwise(starts))):
            raise ValueError("stages: the first begins at step 0, and each later than the one before")
        if self.local_px > self.global_px:
            raise ValueError("local_px: local crops are no larger than global ones")
        return self

    def sides(self, step: int | None, patch: int) -> tuple[int, int]:
        """Sides of global and local crops at update number ``step`` (from 0), in pixels; of the last stage for None.

        Local sides are rounded to whole patches, one at least.
        """
        begun = [s.px for s in self.stages if step is None or s.from_step <= step]
        px = begun[-1] if begun else self.global_px
        return px, max(1, round(self.local_px * px / self.global_px / patch)) * patch

    def seen(self, patch: int) -> list[tuple[int, tuple[int, ...]]]:
        """Two global crops, and the local ones, of the last stage."""
        wide, small = self.sides(None, patch)
        return [(2, (wide, wide)), (self.local_crops, (small, small))]

    def check(self, network: NetworkConfig) -> None:
        """Also: global crops of every stage are whole patches, at least two along an axis; so are local ones.

        Raises:
            CairnError: with code ``config``, naming what does not fit.
        """
        super().check(network)
        patch = patch_size(network, self.kind)
        sizes = {"global_px": self.global_px, "local_px": self.local_px}
        sizes |= {f"stages: px from step {s.from_step}": s.px for s in self.stages}
        for name, px in sizes.items():
            if px % patch:
                reason = f"objective {self.kind}: {name}, {px}, does not divide by the network's patch, {patch}."
                raise CairnError(reason, f"Take a multiple of {patch}.", code="config")
            if name != "local_px" and px < 2 * patch:
                reason = f"objective {self.kind}: {name}, {px}, is fewer than 2 patches of {patch}: none can be hidden."
                raise CairnError(reason, f"Take {2 * patch} or more, or a smaller patch.", code="config")


def patch_size(network: NetworkConfig, objective: str = "curia") -> int:
    """Side of a patch of a network that can learn from slices, in pixels.

    Raises:
        CairnError: when it is none, with code ``config``.
    """
    if not isinstance(network, Dinov2Config):
        reason = f"objective {objective} hides patches, and network {network.kind} has no mask token."
        raise CairnError(reason, "Take a network of kind dinov2.", code="config")
    return network.patch_size
