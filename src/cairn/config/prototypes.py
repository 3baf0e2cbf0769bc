"""What objectives share whose student meets a teacher's assignment to prototypes (DINO, iBOT, DINOv2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cairn.config.base import Section


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if not 0 < span[0] <= span[1] <= 1:
        raise ValueError("two shares, above 0, at most 1, the smaller first")
    return span


Span = Annotated[tuple[float, float], AfterValidator(_ordered)]


class TeacherConfig(Section):
    """A teacher that follows its student as a moving average of the weights."""

    momentum: float = Field(default=0.99, ge=0, le=1)
    """Share of itself that the teacher keeps at an update, at the start (published: 0.996, for 100 times the steps)."""
    momentum_end: float = Field(default=0.999, ge=0, le=1)
    """The same after the ramp. With 1 the teacher stands still from there on."""
    ramp_steps: int = Field(default=1000, ge=1)
    """Steps of the ramp, half a cosine; a number, not a share, so that a longer run begins no differently."""


class PrototypeConfig(Section):
    """Prototypes, targets, temperatures, weights of the losses, and the teacher."""

    prototypes: int = Field(default=1024, ge=2)
    """Prototypes of each head (published: 65,536 and more)."""
    head_hidden: int = Field(default=512, ge=2)
    """Width of the heads' hidden layers (published: 2048)."""
    head_bottleneck: int = Field(default=128, ge=2)
    """Width before the prototypes (published: 256)."""
    targets: Literal["centring", "sinkhorn"] = "centring"
    """What keeps the teacher from favouring some prototypes: a running centre (DINO, Caron et al. 2021), or
    Sinkhorn-Knopp over the batch (DINOv2), which wants a batch of some dozens."""
    centre_momentum: float = Field(default=0.9, ge=0, lt=1)
    """Share of itself that the centre keeps at an update."""
    sinkhorn_iterations: int = Field(default=3, ge=1)
    """Iterations of Sinkhorn-Knopp."""
    student_temperature: float = Field(default=0.1, gt=0)
    """Of the student's softmax."""
    teacher_temperature: float = Field(default=0.04, gt=0)
    """Of the teacher's softmax at the start."""
    teacher_temperature_end: float = Field(default=0.07, gt=0)
    """The same after the ramp."""
    temperature_steps: int = Field(default=1000, ge=1)
    """Steps of the ramp, linear."""
    dino_weight: float = Field(default=1.0, ge=0)
    """Of the cross-entropy between whole crops."""
    ibot_weight: float = Field(default=1.0, ge=0)
    """Of the cross-entropy at hidden places (iBOT, Zhou et al. 2022)."""
    koleo_weight: float = Field(default=0.1, ge=0)
    """Of the term that spreads the features of a batch (Sablayrolles et al. 2019), for each global crop."""
    freeze_prototypes_steps: int = Field(default=0, ge=0, exclude_if=lambda v: not v)
    """Updates at the start that leave the prototypes as they are, DINO's remedy where a loss does not fall at first;
    a number, so that a longer run begins no differently (DINOv2: its first epoch, 1250 of 625,000 for ViT-L)."""
    teacher: TeacherConfig = TeacherConfig()
    """How the teacher follows; its encoder is what fine-tuning starts from."""
