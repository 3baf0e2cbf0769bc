"""How much memory a process of a pretraining takes, told from the configuration alone.

The objective is built on torch's meta device, so that a billion weights take seconds and no memory. What the loop
keeps is then counted: weights, gradients, AdamW's moments, what follows as a teacher. What the encoder keeps for its
gradient is measured, in a pass of one view with tensors that have shapes and no values; heads' logits are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves

from cairn.config.prototypes import PrototypeConfig
from cairn.nets.blocks import parameters
from cairn.nets.registry import build_encoder
from cairn.ssl.registry import build_objective
from cairn.train.distributed import blocks
from cairn.train.pretrain import PretrainJob

FLOAT, NARROW = 4, 2
"""Bytes of a number, and of one in bfloat16."""
GIB = 2**30
LOGIT_COPIES = 4
"""Tensors of the size of a head's logits at once: these, their softmax, the targets, a gradient."""


@dataclass(frozen=True)
class MemoryPlan:
    """What one process holds at the moment when it holds most, in bytes, by what it is."""

    title: str
    counts: dict[str, int]
    """Weights, by part of the model."""
    parts: dict[str, float]

    @property
    def total(self) -> float:
        """Sum of the parts."""
        return sum(self.parts.values())

    def lines(self) -> list[str]:
        """The plan in words."""
        counts = [f"  {name:<66}{number:>16,}" for name, number in self.counts.items()]
        rows = {**self.parts, "together": self.total}
        sizes = [f"  {name:<66}{size / GIB:>12.2f} GiB" for name, size in rows.items()]
        return [self.title, "", "Weights", *counts, "", "Memory of one process", *sizes]


def memory_plan(job: PretrainJob, gpu: bool = True) -> MemoryPlan:
    """The plan of a pretraining.

    Args:
        job: its configuration.
        gpu: whether activations are in bfloat16.
    """
    recipe = job.pretrain
    with torch.device("meta"):
        module = build_objective(job.objective, job.network, 0)
    learned = [p for p in module.parameters() if p.requires_grad]
    numbers = sum(p.numel() for p in learned)
    followers = parameters(module) - numbers
    sharded = recipe.processes > 1 and recipe.parallel == "fsdp"
    share = recipe.processes if sharded else 1
    samples = recipe.batch_size // recipe.processes
    once, inside = _activations(job, samples, NARROW if gpu else FLOAT)
    parts = {
        "weights that learn": numbers / share * FLOAT,
        "their gradients": numbers / share * FLOAT,
        "AdamW's two moments": 2 * numbers / share * FLOAT,
        "weights that follow (teacher, key encoder)": followers / share * FLOAT,
        "queues, centres and other buffers": float(sum(b.nbytes for b in module.buffers())),
    }
    if sharded:
        parts["gathered while computing"] = _gathered(module, NARROW if gpu else FLOAT)
    recomputed = ", recomputed block by block" if recipe.checkpoint_activations else ""
    parts[f"activations of the encoder{recomputed} (estimate)"] = once + inside
    parts["logits of the heads (estimate, at most)"] = _logits(job, samples)
    return MemoryPlan(_title(job, samples), _counts(module), parts)


def _title(job: PretrainJob, samples: int) -> str:
    recipe = job.pretrain
    held = f" ({recipe.parallel})" if recipe.processes > 1 else ""
    return (
        f"pretrain {job.run}: network {job.network.kind}, objective {job.objective.kind}, {recipe.processes} "
        f"process(es){held}, {samples} of {recipe.batch_size} samples each"
    )


def _counts(module: nn.Module) -> dict[str, int]:
    """Weights of each part of an objective."""
    return {name: parameters(part) for name, part in module.named_children() if parameters(part)} | {
        "all": parameters(module)
    }


def _gathered(module: nn.Module, width: int) -> float:
    """Bytes of what is whole at once: two blocks (one computes, the next is on its way), and all that is no block."""
    sizes = sorted((parameters(block) for block in blocks(module)), reverse=True)
    return float(sum(sizes[:2]) * width + (parameters(module) - sum(sizes)) * FLOAT)


def _logits(job: PretrainJob, samples: int) -> float:
    """Bytes of the logits of prototypes, at most: of each view, and of the places that are hidden in global ones."""
    objective = job.objective
    if not isinstance(objective, PrototypeConfig):
        return 0.0
    seen = objective.seen(job.network.stride)
    views = sum(count for count, _ in seen)
    count, sides = seen[0]
    hidden = count * objective.mask_ratio[1] * prod(n // job.network.stride for n in sides)
    return ceil(samples * (views + hidden)) * objective.prototypes * FLOAT * LOGIT_COPIES


def _activations(job: PretrainJob, samples: int, width: int) -> tuple[float, float]:
    """Bytes that the encoder keeps for the gradients of all views, and those of the block that is recomputed."""
    kept = inside = 0.0
    for count, sides in job.objective.seen(job.network.stride):
        every, within, entering = _saved_by_one(job, sides)
        if job.pretrain.checkpoint_activations and within:
            kept += count * samples * (every - sum(within) + sum(entering))
            inside = max(inside, count * samples * float(max(within)))
        else:
            kept += count * samples * every
    return kept * width, inside * width


def _saved_by_one(job: PretrainJob, sides: Sequence[int]) -> tuple[int, list[int], list[int]]:
    """Numbers that the encoder saves for the gradient of one view; of these within each block; numbers entering each.

    Fake tensors on the CPU: there attention saves what a GPU's fused kernel does, not a matrix of all pairs.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    with torch.device("meta"):
        encoder = build_encoder(job.network).train()
    learned = {name: tuple(p.shape) for name, p in encoder.named_parameters()}
    fixed = {name: tuple(b.shape) for name, b in encoder.named_buffers()}
    saved: dict[int, int] = {}
    kept: list[Any] = []  # storages stay alive, so that no two have one address
    within: list[int] = []
    entering: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights and storage._cdata not in saved:
            kept.append(storage)
            saved[storage._cdata] = storage.nbytes() // tensor.element_size()
        return tensor

    def enter(_: nn.Module, inputs: Any) -> None:
        entering.append(sum(x.numel() for x in tree_leaves(inputs) if isinstance(x, Tensor)))
        within.append(-sum(saved.values()))

    def leave(*_: Any) -> None:
        within[-1] += sum(saved.values())

    for block in blocks(encoder):
        block.register_forward_pre_hook(enter)
        block.register_forward_hook(leave)
    with FakeTensorMode(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        fakes = {name: torch.empty(shape, requires_grad=True) for name, shape in learned.items()}
        fakes |= {name: torch.empty(shape) for name, shape in fixed.items()}
        weights = {fake.untyped_storage()._cdata for fake in fakes.values()}
        functional_call(encoder, fakes, torch.empty(1, 1, *sides))
    return sum(saved.values()), within, entering
