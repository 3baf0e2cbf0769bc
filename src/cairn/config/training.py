"""Budgets and optimiser of pretraining and fine-tuning."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cairn.config.augment import IntensityConfig, SpatialConfig
from cairn.config.base import Section
from cairn.config.modes import FinetuneMode

Device = Literal["auto", "cpu", "cuda"]
RATES = (
    1e-5, 2.2e-5, 4.6e-5, 1e-4, 2.2e-4, 4.6e-4, 1e-3, 2.2e-3, 4.6e-3, 1e-2, 2.2e-2, 4.6e-2, 1e-1,
)  # fmt: skip


class OptimConfig(Section):
    """AdamW with a linear warm-up and a fall to zero."""

    steps: int = Field(default=300, ge=1)
    """Updates of the weights. May grow later: under schedule ``constant`` training goes on from before its decay."""
    batch_size: int = Field(default=4, ge=1)
    """Samples a step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Largest learning rate."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay."""
    weight_decay_end: float | None = Field(default=None, ge=0, exclude_if=lambda v: v is None)
    """Schedule ``cosine``: weight decay goes to this along a cosine (DINOv2: 0.04 to 0.4, for ViT-L 0.2). Default: it
    stays."""
    schedule: Literal["constant", "cosine"] = "constant"
    """``constant``: warm-up, constant, decay; a run made longer ends as if it had been so long from the start.
    ``cosine``, of published recipes: falls from the warm-up on; a run made longer starts anew."""
    warmup_steps: int = Field(default=30, ge=0)
    """Steps in which the learning rate rises from 0; a number, so that a longer run begins no differently."""
    decay_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the steps, at the end, in which a constant rate falls to 0 (1 - sqrt; Hägele et al. 2024, arXiv
    2405.18392)."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    state_every: int = Field(default=100, ge=1)
    """Steps between two saved states; an interruption loses at most so many."""
    log_every: int = Field(default=10, ge=1)
    """Steps between two lines of the history."""
    validate_every: int = Field(default=50, ge=1)
    """Steps between two validations; there is one at the end in any case."""
    val_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the subjects held back for validation; at least one. 0: none."""
    deterministic: bool = True
    """On a GPU: bitwise repeatable and slower. On a CPU training always is."""
    compile: bool = True
    """On a GPU: compile the encoder. Never on a CPU, where it costs a minute."""
    channels_last: bool = True
    """On a GPU: weights and features of 3D convolutions lie in memory with channels last. Never on a CPU."""

    @model_validator(mode="after")
    def _decays(self) -> Self:
        if self.weight_decay_end is not None and self.schedule != "cosine":
            raise ValueError("weight_decay_end: needs schedule 'cosine', as it depends on the number of steps")
        return self


class PretrainConfig(OptimConfig):
    """Self-supervised pretraining. The encoder is that of the last step."""

    steps: int = Field(default=400, ge=1)
    """Updates of the weights. 400 steps of 4 views of 48^3 take a minute on a CPU core; on a GPU, 100,000 are usual."""
    validate_every: int = Field(default=100, ge=1)
    """Steps between two losses over the held-back subjects; they choose nothing."""
    warmup_steps: int = Field(default=40, ge=0)
    """Steps in which the learning rate rises from 0."""
    val_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the subjects held back; 0: none."""
    augment_on: Literal["auto", "cpu", "device"] = "auto"
    """Who augments views. ``device``: the CPU reads and draws alone, the device augments the batch. ``auto``: that on a
    GPU, the CPU elsewhere. From a run's first noise on, the two draw different views."""
    min_feature_std: float = Field(default=0.02, ge=0)
    """A validation after the warm-up stops the run where the embeddings of different sessions are more alike: the
    standard deviation of embeddings of length sqrt(D), 1 at best. Untrained nets have 0.15 to 0.25. 0: never."""
    min_effective_rank: float = Field(default=1.5, ge=0)
    """The same where they differ along fewer directions (RankMe, centred; 8 sessions or more). A line with a noise of
    half a percent in 15 other directions has 1.5. 0: never."""
    processes: int = Field(default=1, ge=1)
    """Processes that train one model, a GPU each, started by ``torchrun``; they share a batch of ``batch_size``."""
    nodes: int = Field(default=1, ge=1)
    """Machines that these processes lie on, as many on each; above 1 in a job of Slurm's, or by ``CAIRN_LAUNCHER``."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several processes hold the model. ``ddp``: each all of it; for whatever fits a GPU four times (weights,
    gradients, two moments). ``fsdp``: each a share of every tensor; for what does not."""
    checkpoint_activations: bool = False
    """Compute each block of the network again for its gradient instead of keeping what it computed: about a third more
    time, much less memory. Changes no number but by compilation."""

    @property
    def per_node(self) -> int:
        """Processes on one machine."""
        return self.processes // self.nodes

    @model_validator(mode="after")
    def _shared(self) -> PretrainConfig:
        if self.batch_size % self.processes:
            raise ValueError(f"batch_size: {self.batch_size} samples do not divide among {self.processes} processes")
        if self.processes % self.nodes:
            raise ValueError(f"processes: {self.processes} processes do not divide among {self.nodes} nodes")
        return self


class FinetuneConfig(OptimConfig):
    """One recipe for every encoder; a task may override single values. The model is that of the best validation."""

    mode: FinetuneMode = "full"
    """``full``: all weights learn. ``frozen``: the encoder stays as it is, fusion and head or decoder learn. ``lora``:
    these, and low-rank changes of the encoder's linear layers and convolutions (Hu et al. 2021). A run may choose its
    own: column ``finetune_mode``."""
    lora_rank: int = Field(default=8, ge=1)
    """Rank of these changes."""
    lora_alpha: float = Field(default=16.0, gt=0)
    """Their strength: they are scaled by alpha / rank."""
    steps: int = Field(default=50, ge=1)
    """Updates of the weights."""
    batch_size: int = Field(default=2, ge=1)
    """Sessions a step, each with all its sequences."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Largest learning rate."""
    warmup_steps: int = Field(default=5, ge=0)
    """Steps in which the learning rate rises from 0."""
    state_every: int = Field(default=25, ge=1)
    """Steps between two saved states."""
    validate_every: int = Field(default=10, ge=1)
    """Steps between two validations; of equal ones the earliest wins."""
    patch_voxels: tuple[int, int, int] | None = None
    """Segmentation of large grids: train on crops of this size, predict by a sliding window. Default: whole brains."""
    spatial: SpatialConfig = SpatialConfig()
    """Augmentation in space; masks follow."""
    intensity: IntensityConfig = IntensityConfig(noise=0.2, blur=0.1, bias=0.2, low_resolution=0.1, gibbs=0, ghosting=0)
    """Augmentation of intensity, drawn for each sequence on its own."""
    classical_max_voxels: int = Field(default=2000, ge=10)
    """Voxels a session that the classical segmentation learns from."""

    @model_validator(mode="after")
    def _validated(self) -> FinetuneConfig:
        if self.val_share == 0:
            raise ValueError("val_share: fine-tuning chooses its weights by validation, so it needs a share above 0")
        return self


class ProbeConfig(Section):
    """Linear probes: one recipe for every encoder and for the classical features; a task may override single values."""

    rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=RATES, min_length=1)
    """Learning rates; the one of the best validation is kept. Default: FOMO26's 13 from 1e-5 to 0.1."""
    epochs: int = Field(default=20, ge=1)
    """Passes over the training cases."""
    batch_size: int = Field(default=64, ge=1)
    """Cases a step."""
    val_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the subjects of each class held back to choose the rate (FOMO26: 10 of 50 a class)."""
