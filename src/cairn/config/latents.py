"""Sections of the objectives that learn in feature space, all or in part: hybrid, subject/sequence, DINO, JEPA."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cairn.config.augment import IntensityConfig, SpatialConfig
from cairn.config.networks import NetworkConfig
from cairn.config.prototypes import PrototypeConfig, Span, TeacherConfig
from cairn.config.views import ViewConfig, multiple_of
from cairn.errors import CairnError

Size = tuple[int, int, int]
Share = Annotated[float, Field(gt=0, lt=1)]


class HybridConfig(ViewConfig):
    """Masked reconstruction, alignment with a teacher where two crops overlap, and contrast of whole crops
    (LatentCampus, arXiv 2509.13846).
    """

    least_batch: ClassVar[int] = 2

    whole_batch: ClassVar[bool] = True
    views: ClassVar[int] = 2
    kind: Literal["hybrid"] = "hybrid"
    """The objective."""
    overlap: Share = 0.6
    """Least share of a crop, along each axis, that its partner covers too."""
    mask_ratio: Share = 0.6
    """Share of the cubes that are hidden from the student; the teacher sees all."""
    mask_unit_voxels: int = Field(default=4, ge=1)
    """Side of a cube."""
    loss_on: Literal["patch", "masked"] = "patch"
    """Squared error over the whole crop, or over hidden voxels alone."""
    align_points: int = Field(default=7, ge=1)
    """Points along each axis at which the features of the overlap are compared."""
    reconstruction_weight: float = Field(default=1.0, ge=0)
    """Of the squared error."""
    alignment_weight: float = Field(default=0.5, ge=0)
    """Of 1 - cosine between the student's and the teacher's features in the overlap."""
    contrast_weight: float = Field(default=0.1, ge=0)
    """Of NT-Xent between the projections of the two crops."""
    temperature: float = Field(default=0.5, gt=0)
    """Of NT-Xent."""
    projection: int = Field(default=128, ge=2)
    """Numbers of a projection."""
    projection_hidden: int = Field(default=512, ge=2)
    """Width of the projector's hidden layer."""
    teacher: TeacherConfig = TeacherConfig()
    """How the teacher follows."""
    spatial: SpatialConfig = SpatialConfig()
    """Undergone by both crops together, so that they still show the same place."""
    intensity: IntensityConfig = IntensityConfig()
    """Undergone by each crop on its own; the reconstruction must undo it."""

    def check(self, network: NetworkConfig) -> None:
        """Also: the cubes fill the crop, and every overlap spans more than one voxel of the deepest features."""
        super().check(network)
        multiple_of(self.mask_unit_voxels, "mask unit", self.patch_voxels, self.kind)
        deepest_voxels(network.stride, self.patch_voxels, self.kind)
        common = [math.ceil(self.overlap * n) for n in self.patch_voxels]
        if min(common) <= network.stride:
            reason = f"objective {self.kind}: crops may share {min(common)} voxels along an axis, and the network's "
            remedy = "Raise overlap or patch_voxels, or take a network of a smaller stride."
            raise CairnError(f"{reason}stride is {network.stride}: too few to compare features.", remedy, code="config")


class SubjectSequenceConfig(ViewConfig):
    """Two scans of a session, a latent of the subject that they share and one of the sequence that they do not
    (FOMO25's winner: arXiv 2601.13166).
    """

    whole_batch: ClassVar[bool] = True
    views: ClassVar[int] = 2
    kind: Literal["subject_sequence"] = "subject_sequence"
    """The objective."""
    mask_ratio: float = Field(default=0.2, ge=0, lt=1)
    """Share of the cubes hidden from each scan on its own (the paper: 0.2; its code's default: 0.6)."""
    mask_unit_voxels: int = Field(default=4, ge=1)
    """Side of a cube."""
    latent_channels: int = Field(default=256, ge=1)
    """Channels of each latent."""
    smooth_beta: float = Field(default=0.1, gt=0)
    """Error below which smooth L1 is quadratic."""
    self_weight: float = Field(default=3.0, ge=0)
    """Of the reconstruction of each scan from its own latents."""
    cross_weight: float = Field(default=1.0, ge=0)
    """Of the reconstruction of each scan from both scans' mean subject latent and its own sequence latent."""
    kl_weight: float = Field(default=0.001, ge=0)
    """Of the Kullback-Leibler divergence from a standard normal, after the annealing."""
    kl_anneal_steps: int = Field(default=100, ge=1)
    """Steps over which that weight rises from 0 (published: 10 epochs, some 25,000 steps of 4 sessions)."""
    subject_weight: float = Field(default=0.5, ge=0)
    """Of 1 - cosine between the two subject latents."""
    sequence_weight: float = Field(default=0.5, ge=0)
    """Of the cosine between the two sequence latents."""
    spatial: SpatialConfig = SpatialConfig(flip=0, affine=0)
    """Undergone by both scans alike (published: none)."""

    def check(self, network: NetworkConfig) -> None:
        """Also: the cubes fill the view."""
        super().check(network)
        multiple_of(self.mask_unit_voxels, "mask unit", self.patch_voxels, self.kind)
        deepest_voxels(network.stride, self.patch_voxels, self.kind)


class DinoConfig(PrototypeConfig, ViewConfig):
    """Self-distillation without labels (DINOv2, Oquab et al. 2023, arXiv 2304.07193) in 3D. Published values, where
    steps and batches are large: learning rate 0.0005 and weight decay 0.04 (section ``pretrain``).
    """

    least_batch: ClassVar[int] = 2

    whole_batch: ClassVar[bool] = True
    kind: Literal["dino"] = "dino"
    """The objective. ``patch_voxels`` is the size of its two global crops."""
    local_voxels: Size = (32, 32, 32)
    """Size of a local crop."""
    local_crops: int = Field(default=4, ge=1)
    """Local crops of a scan (published: 8)."""
    overlap: Share = 0.5
    """Least share of a global crop, along each axis, that the other covers too."""
    mask_ratio: Span = (0.1, 0.5)
    """Share of the deepest voxels that are hidden from the student, drawn for each global crop; one at least."""
    spatial: SpatialConfig = SpatialConfig()
    """Undergone by each crop on its own."""
    intensity: IntensityConfig = IntensityConfig()
    """Undergone by each crop on its own."""

    def seen(self, patch: int) -> list[tuple[int, tuple[int, ...]]]:
        """Two global crops, and the local ones."""
        return [(2, self.patch_voxels), (self.local_crops, self.local_voxels)]

    def check(self, network: NetworkConfig) -> None:
        """Also: local crops divide by the stride, are the smaller ones, and leave deepest voxels enough."""
        super().check(network)
        multiple_of(network.stride, "stride of the network", self.local_voxels, self.kind, "local_voxels")
        deepest_voxels(network.stride, self.patch_voxels, self.kind)
        deepest_voxels(network.stride, self.local_voxels, self.kind, "local_voxels")
        if any(a > b for a, b in zip(self.local_voxels, self.patch_voxels, strict=True)):
            reason = f"objective {self.kind}: local_voxels {self.local_voxels} exceed patch_voxels {self.patch_voxels}."
            raise CairnError(reason, "Local crops lie within a global one: make them smaller.", code="config")


class JepaConfig(ViewConfig):
    """Joint-embedding prediction (I-JEPA, Assran et al. 2023, arXiv 2301.08243) in 3D."""

    whole_batch: ClassVar[bool] = True
    kind: Literal["jepa"] = "jepa"
    """The objective."""
    targets: int = Field(default=4, ge=1, le=7)
    """Blocks whose features are predicted. At most 7: each covers one of the eight corners at most."""
    target_share: Span = (0.15, 0.2)
    """Share of the deepest voxels in one block, drawn for each."""
    context_share: Span = (0.85, 1.0)
    """Share of the deepest voxels in the block that is seen, apart from the targets."""
    stretch: float = Field(default=1.5, ge=1)
    """Most by which a target block's side is longer than that of a cube, before rounding to whole voxels."""
    predictor_channels: int = Field(default=96, ge=6, multiple_of=6)
    """Width of the predictor: narrower than the encoder's deepest stage, or it would do the work."""
    predictor_layers: int = Field(default=2, ge=1)
    """Transformer layers of the predictor."""
    predictor_heads: int = Field(default=4, ge=1)
    """Attention heads of a layer; they divide the width."""
    teacher: TeacherConfig = TeacherConfig()
    """How the target encoder follows; it is what fine-tuning starts from."""
    spatial: SpatialConfig = SpatialConfig()
    """Undergone by the view. No change of intensity: the method needs none."""

    def check(self, network: NetworkConfig) -> None:
        """Also: a block can be smaller than the view, and the heads divide the predictor's width."""
        super().check(network)
        deepest_voxels(network.stride, self.patch_voxels, self.kind)
        if self.predictor_channels % self.predictor_heads:
            width, heads = self.predictor_channels, self.predictor_heads
            reason = f"objective {self.kind}: predictor_channels {width} do not divide by predictor_heads, {heads}."
            raise CairnError(reason, f"Take a multiple of {math.lcm(6, heads)}.", code="config")


def deepest_voxels(stride: int, size: Size, kind: str, what: str = "patch_voxels") -> None:
    """Refuse a view with fewer than two deepest voxels along an axis: nothing there to mask, match or normalise.

    Raises:
        CairnError: with code ``config``.
    """
    if min(size) < 2 * stride:
        reason = f"objective {kind}: {what} {size} leave fewer than 2 deepest voxels along an axis (stride {stride})."
        raise CairnError(reason, f"Take {2 * stride} or more, or a network of a smaller stride.", code="config")
