"""The encoder: one section a kind of backbone, told apart by ``kind``. A size is a row of configuration, never a class.

``config/backbones.yaml`` holds the sizes of the field.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, Tag, model_validator

from cairn.config.base import Section, by_kind, parse
from cairn.errors import CairnError

Positive = Annotated[int, Field(ge=1)]


class Backbone(Section):
    """Base of every encoder's section: one input channel, shared by all sequences; features of one stage or more.

    Every kind also has ``channels``: those of each stage, finest first.
    """

    dims: ClassVar[int] = 3
    """Axes of what it encodes: 3 a volume, 2 a slice."""

    kind: str
    """The backbone."""

    @property
    @abstractmethod
    def strides(self) -> tuple[int, ...]:
        """Voxels of the input to one voxel of each stage, along an axis; finest first."""

    @property
    def stride(self) -> int:
        """Voxels of the input to one voxel of the deepest stage; a volume's axes must divide by it."""
        return self.strides[-1]


class ResidualConfig(Backbone):
    """A 3D U-Net encoder on MONAI's residual blocks (ResEnc-U-Net: Isensee et al. 2024), with a strided stem."""

    kind: Literal["residual"] = "residual"
    """The backbone; a network without ``kind`` is this."""
    channels: tuple[Positive, ...] = (16, 32, 64, 128)
    """Channels of each stage; every stage after the first halves the grid."""
    blocks: tuple[int, ...] = (0, 1, 1, 1)
    """Residual blocks of each stage. 0 in the first stage: the stem alone, which saves most of the time on a CPU."""
    stem_stride: Literal[1, 2, 4] = 2
    """Stride of the first convolution. A U-Net that works at full resolution first is 5 to 10 times dearer."""

    @model_validator(mode="after")
    def _consistent(self) -> ResidualConfig:
        if len(self.channels) != len(self.blocks) or len(self.channels) < 2:
            raise ValueError("channels and blocks must have the same length, at least 2")
        if min(self.blocks) < 0 or 0 in self.blocks[1:]:
            raise ValueError("every stage after the first has one block or more")
        return self

    @property
    def strides(self) -> tuple[int, ...]:
        """That of the stem, doubled by every stage after the first."""
        return doubled(self.stem_stride, len(self.channels))


class UnetConfig(Backbone):
    """The plain 3D U-Net encoder (Ronneberger et al. 2015) of FOMO25's baseline, at full resolution first."""

    kind: Literal["unet"] = "unet"
    """The backbone."""
    width: int = Field(default=32, ge=1)
    """Channels of the first stage; every further stage has twice as many."""
    levels: int = Field(default=5, ge=2, le=7)
    """Stages."""
    convolutions: int = Field(default=2, ge=1)
    """Convolutions of a stage."""
    downsampling: Literal["max", "strided"] = "max"
    """Between stages: maximum over 2^3 voxels, or a stride of 2 in the next stage's first convolution."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Doubled by every stage after the first."""
        return doubled(self.width, self.levels)

    @property
    def strides(self) -> tuple[int, ...]:
        """1, doubled by every stage after the first."""
        return doubled(1, self.levels)


class MedNextConfig(Backbone):
    """MedNeXt's encoder (Roy et al. 2023): depthwise convolutions, then a wide layer voxel by voxel."""

    kind: Literal["mednext"] = "mednext"
    """The backbone."""
    width: int = Field(default=32, ge=1)
    """Channels of the first stage; every further stage has twice as many."""
    blocks: tuple[Positive, ...] = (2, 2, 2, 2, 2)
    """Blocks of each stage."""
    expansion: tuple[Positive, ...] = (2, 2, 2, 2, 2)
    """How many times wider the inner layer of each stage's blocks is."""
    kernel: Literal[3, 5, 7] = 3
    """Side of the depthwise convolutions."""

    @model_validator(mode="after")
    def _consistent(self) -> MedNextConfig:
        same_length("blocks", self.blocks, "expansion", self.expansion)
        return self

    @property
    def channels(self) -> tuple[int, ...]:
        """Doubled by every stage after the first."""
        return doubled(self.width, len(self.blocks))

    @property
    def strides(self) -> tuple[int, ...]:
        """1, doubled by every stage after the first."""
        return doubled(1, len(self.blocks))


class SwinConfig(Backbone):
    """A Swin transformer as Swin UNETR has it (Hatamizadeh et al. 2022): attention within shifted windows."""

    kind: Literal["swin"] = "swin"
    """The backbone."""
    width: int = Field(default=48, ge=1)
    """Channels of the embedded patches, which are the first stage; each group of blocks doubles them."""
    depths: tuple[Positive, ...] = (2, 2, 2, 2)
    """Blocks before each halving of the grid; the features after each are a stage."""
    heads: tuple[Positive, ...] = (3, 6, 12, 24)
    """Attention heads of these blocks."""
    window: int = Field(default=7, ge=2)
    """Side of a window, in tokens."""
    patch: Literal[1, 2, 4] = 2
    """Side of an embedded patch, in voxels."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Width of the inner layer of a block, in widths of the block."""
    convolutions: bool = False
    """Swin UNETR V2 (He et al. 2023): a residual block of convolutions before each group of blocks."""

    @model_validator(mode="after")
    def _consistent(self) -> SwinConfig:
        same_length("depths", self.depths, "heads", self.heads)
        for channels, heads in zip(doubled(self.width, len(self.heads)), self.heads, strict=True):
            if channels % heads:
                raise ValueError(f"heads: {channels} channels do not divide into {heads} heads")
        return self

    @property
    def channels(self) -> tuple[int, ...]:
        """Doubled by every stage after the first."""
        return doubled(self.width, len(self.depths) + 1)

    @property
    def strides(self) -> tuple[int, ...]:
        """That of a patch, doubled by every stage after the first."""
        return doubled(self.patch, len(self.depths) + 1)


class VitConfig(Backbone):
    """A plain vision transformer (Dosovitskiy et al. 2021); its options make it Primus (Wald et al. 2025)."""

    kind: Literal["vit"] = "vit"
    """The backbone."""
    width: int = Field(default=384, ge=1)
    """Channels of a token."""
    depth: int = Field(default=12, ge=1)
    """Blocks."""
    heads: int = Field(default=6, ge=1)
    """Attention heads."""
    patch: Literal[2, 4, 8, 16] = 8
    """Side of an embedded patch, in voxels. A volume has any size that divides by it."""
    feed_forward: Literal["gelu", "swiglu"] = "gelu"
    """Inner layer of a block: two linear layers, or a gated one (Shazeer 2020)."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Width of the inner layer, in widths of a token; 8/3 gives a gated layer the weights that 4 gives a plain one."""
    position: Literal["none", "sincos", "learned"] = "sincos"
    """What is added to a token for its place: nothing, sines and cosines counted from the volume's centre, or learned
    numbers."""
    position_grid: tuple[Positive, Positive, Positive] = (8, 8, 8)
    """Learned positions: tokens along each axis that numbers are kept for; for other grids they are interpolated."""
    rotary: bool = False
    """Rotary embedding: queries and keys are turned by their place along each axis (Su et al. 2021)."""
    layer_scale: float = Field(default=0.0, ge=0)
    """Learned scale of each block's outputs, and its start (Touvron et al. 2021); 0: none."""
    registers: int = Field(default=0, ge=0)
    """Tokens without a place, for what is global (Darcet et al. 2024)."""

    @model_validator(mode="after")
    def _consistent(self) -> VitConfig:
        if self.width % self.heads:
            raise ValueError(f"width: {self.width} channels do not divide into {self.heads} heads")
        if self.rotary and self.width // self.heads % 6:
            raise ValueError(f"rotary: a head has {self.width // self.heads} channels, and three axes want pairs")
        if self.position == "sincos" and self.width % 6:
            raise ValueError(f"position sincos: width {self.width} is not a multiple of 6: three axes want pairs")
        return self

    @property
    def channels(self) -> tuple[int]:
        """One stage."""
        return (self.width,)

    @property
    def strides(self) -> tuple[int]:
        """That of a patch."""
        return (self.patch,)


class SliceBackbone(Backbone):
    """Base of every section of an encoder of slices: one stage, a class token and one token a patch.

    Every kind also has ``hidden_size``, the channels of a token.
    """

    dims: ClassVar[int] = 2

    patch_size: int = Field(default=16, ge=1)
    """Side of a patch, in pixels; an image's sides must divide by it."""
    image_size: int = Field(default=512, ge=1)
    """Side of the image that the encoder is made for, in pixels; it takes others too."""

    @property
    def strides(self) -> tuple[int]:
        """That of a patch."""
        return (self.patch_size,)

    @property
    def grid(self) -> int:
        """Patches along a side of the image that the encoder is made for."""
        return self.image_size // self.patch_size

    @model_validator(mode="after")
    def _whole_patches(self) -> SliceBackbone:
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size: {self.image_size} pixels do not divide into patches of {self.patch_size}")
        return self


class Dinov2Config(SliceBackbone):
    """The vision transformer of DINOv2 (Oquab et al. 2023) for slices, as Curia releases it: `transformers`' model."""

    kind: Literal["dinov2"] = "dinov2"
    """The backbone. ``image_size``: learned positions for its patches are kept; for others they are interpolated."""
    hidden_size: int = Field(default=768, ge=1)
    """Channels of a token."""
    layers: int = Field(default=12, ge=1)
    """Blocks."""
    heads: int = Field(default=12, ge=1)
    """Attention heads."""
    mlp_ratio: int = Field(default=4, ge=1)
    """Width of a block's inner layer, in widths of a token; a gated one has two thirds of that."""
    swiglu: bool = True
    """A gated inner layer (Shazeer 2020) instead of two linear layers with GELU."""
    layerscale: float = Field(default=1e-5, gt=0)
    """Start of the learned scale of each block's outputs (Touvron et al. 2021)."""
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """Share of the samples that skip a block in training, the same in every block (Huang et al. 2016)."""

    @model_validator(mode="after")
    def _consistent(self) -> Dinov2Config:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size: {self.hidden_size} channels do not divide into {self.heads} heads")
        return self

    @property
    def channels(self) -> tuple[int]:
        """One stage."""
        return (self.hidden_size,)


class PixelsConfig(SliceBackbone):
    """No network: what a linear head makes of the pixels themselves, the floor of every encoder of slices."""

    kind: Literal["pixels"] = "pixels"
    """The backbone. A patch's token is its pixels, the class token the image averaged to one patch's size."""

    @property
    def hidden_size(self) -> int:
        """Pixels of a patch."""
        return self.patch_size**2

    @property
    def channels(self) -> tuple[int]:
        """One stage."""
        return (self.hidden_size,)


def doubled(first: int, count: int) -> tuple[int, ...]:
    """``first``, and each next one twice the last."""
    return tuple(first * 2**i for i in range(count))


def same_length(a: str, values: Sequence[int], b: str, others: Sequence[int]) -> None:
    """Refuse two lists, one entry a stage, that do not belong together."""
    if len(values) != len(others) or not values:
        raise ValueError(f"{a} and {b} must have the same length, at least 1")


NetworkConfig: TypeAlias = Annotated[
    Annotated[ResidualConfig, Tag("residual")]
    | Annotated[UnetConfig, Tag("unet")]
    | Annotated[MedNextConfig, Tag("mednext")]
    | Annotated[SwinConfig, Tag("swin")]
    | Annotated[VitConfig, Tag("vit")]
    | Annotated[Dinov2Config, Tag("dinov2")]
    | Annotated[PixelsConfig, Tag("pixels")],
    by_kind("residual"),
]
"""Any backbone."""


class _Network(Section):
    network: NetworkConfig


def parse_network(data: Mapping[str, Any], where: str = "config") -> NetworkConfig:
    """A network's section from plain data.

    Raises:
        CairnError: naming every offending key.
    """
    return parse(_Network, {"network": data}, where).network


def check_dims(network: NetworkConfig, dims: int, what: str) -> None:
    """Refuse a network of slices where volumes are encoded, and the reverse. The plan asks, before any job starts.

    Args:
        network: its section.
        dims: axes of what ``what`` encodes, 2 or 3.
        what: an objective or a task, as the message names it.

    Raises:
        CairnError: with code ``config``.
    """
    if network.dims != dims:
        words = {2: "slices", 3: "volumes"}
        reason = f"{what} is for {words[dims]}, and network {network.kind} encodes {words[network.dims]}."
        kinds = ("dinov2, pixels", "residual, unet, mednext, swin, vit")[dims - 2]
        raise CairnError(reason, f"Take a network of kind {kinds}.", code="config")
