"""One model in several processes: who they are, how the model lies on them, and how it comes together again.

Every process takes its share of the same global batch (samples keep their numbers, so the views are those of one
process), gradients are averaged, and the first process alone writes. ``ddp``: each holds the whole model
(`torch.nn.parallel.DistributedDataParallel`; Li et al. 2020, arXiv 2006.15704). ``fsdp``: each holds a share of every
tensor, and a block's weights come together while it computes (`fully_shard`; Zhao et al. 2023, arXiv 2304.11277).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from cairn.config.training import PretrainConfig
from cairn.errors import CairnError
from cairn.train.deferred import Start
from cairn.train.schedule import Course
from cairn.train.state import State

PATIENCE = timedelta(hours=2)
"""For a process that waits for another, such as one that writes a state or waits for a lock."""


@dataclass(frozen=True)
class Processes:
    """Processes that train one model; by default this one, alone."""

    rank: int = 0
    """Number of this process; the first, 0, leads: it alone writes."""
    count: int = 1
    """How many there are."""
    sharded: bool = False
    """Whether each holds a share of every weight, or all weights."""

    @property
    def leads(self) -> bool:
        """Whether this process writes history, states and weights."""
        return self.rank == 0

    def share(self, batch_size: int) -> range:
        """Numbers of the samples of a global batch that are this process's."""
        size = batch_size // self.count
        return range(self.rank * size, (self.rank + 1) * size)

    def mean(self, value: Tensor) -> float:
        """Mean over processes."""
        if self.count == 1:
            return float(value.detach())
        total = value.detach().double() / self.count
        distributed.all_reduce(total)
        return float(total)

    def whole(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors put together from their shares, on the CPU; only the first process keeps them, others get none."""
        if self.count == 1:
            return dict(tensors)
        out = {}
        for name, tensor in tensors.items():
            full = _full(tensor)
            if self.leads:
                out[name] = full.detach().cpu()
        return out

    def part(self, given: Tensor, like: Tensor) -> Tensor:
        """What this process holds, on the device of ``like``, of a tensor whose values only the first process has.

        Args:
            given: the whole; in other processes its shape and type alone count.
            like: tells device and layout.
        """
        if self.count == 1:
            return given.to(like.device)
        from torch.distributed.tensor import DTensor, distribute_tensor

        device = communicating(like.device)
        full = given.to(device) if self.leads else torch.empty(given.shape, dtype=given.dtype, device=device)
        if isinstance(like, DTensor):
            return distribute_tensor(full.contiguous(), like.device_mesh, like.placements)
        full = full.contiguous()
        distributed.broadcast(full, src=0)
        return full.to(like.device)

    def same(self, state: State | None) -> State | None:
        """The first process's state; in others its tensors have shapes and types, but no values."""
        if self.count == 1:
            return state
        said = None if state is None else {
            "step": state.step, "course": [state.course.steps, state.course.trunk], "meta": state.meta,
            "tensors": {k: [list(v.shape), str(v.dtype).removeprefix("torch.")] for k, v in state.tensors.items()},
        }  # fmt: skip
        heard = _heard(said)
        if state is not None or heard is None:
            return state
        tensors = {
            name: torch.empty(shape, dtype=getattr(torch, kind), device="meta")
            for name, (shape, kind) in heard["tensors"].items()
        }
        return State(heard["step"], Course(*heard["course"]), tensors, heard["meta"])


ALONE = Processes()


def launched() -> bool:
    """Whether ``torchrun`` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


@contextmanager
def joined(config: PretrainConfig, device: torch.device) -> Iterator[Processes]:
    """The processes that ``torchrun`` started, met; without it, this one alone.

    Raises:
        CairnError: when they are not as many as ``pretrain.processes``.
    """
    started = int(os.environ["WORLD_SIZE"]) if launched() else 1
    if started != config.processes:
        reason = f"pretrain.processes is {config.processes}, and {started} process(es) were started."
        raise CairnError(reason, "Start as many as the configuration says.", code="processes")
    if started == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(distributed.get_rank(), started, config.parallel == "fsdp")
    finally:
        distributed.destroy_process_group()


def spread(
    module: nn.Module, config: PretrainConfig, processes: Processes, device: torch.device, start: Start | None = None
) -> Callable[[Any], Tensor]:
    """Lay the module out over the processes; returns what computes its loss with averaged gradients.

    The module keeps the names of its tensors. On a GPU blocks that are sharded come together in bfloat16, and their
    gradients are averaged in float32; the rest, where losses are taken, stays in float32.

    Args:
        module: an objective.
        config: how.
        processes: over which.
        device: where it is to be.
        start: what the module starts from, if it is an outline so far.
    """
    if config.checkpoint_activations:
        for block in blocks(module.encoder):
            _recompute(block)
    loss: Callable[[Any], Tensor] = module
    if processes.sharded:
        _shard(module, config, device)
        if start:
            start.fill(module, device, processes.rank, processes.count)
    elif processes.count > 1:
        loss = nn.parallel.DistributedDataParallel(
            module.to(device), device_ids=[torch.cuda.current_device()] if device.type == "cuda" else None,
            forward_sync_buffers=False, find_unused_parameters=True, gradient_as_bucket_view=True,
        )  # fmt: skip
    return loss


def blocks(module: nn.Module) -> list[nn.Module]:
    """The repeated parts of a network, such as a transformer's blocks, that are sharded and recomputed one by one.

    Every member of a `nn.ModuleList` that has weights, and no such list inside.
    """
    lists = [m for m in module.modules() if isinstance(m, nn.ModuleList)]
    found = {member: None for members in lists for member in members if any(True for _ in member.parameters())}
    return [b for b in found if not any(isinstance(m, nn.ModuleList) and len(m) for m in b.modules())]


def clip(module: nn.Module, limit: float) -> float:
    """Scale the gradient to a norm of at most ``limit`` over all weights of all processes; returns what it was."""
    norm = nn.utils.clip_grad_norm_(module.parameters(), limit)
    return float(_full(norm))


def communicating(device: torch.device) -> torch.device:
    """The device of which tensors can be sent: NCCL sends none from the CPU."""
    if distributed.get_backend() == "nccl" and device.type == "cpu":
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _shard(module: nn.Module, config: PretrainConfig, device: torch.device) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (config.processes,))
    gpu = device.type == "cuda"
    narrow = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if gpu else None, reduce_dtype=torch.float32 if gpu else None,
        cast_forward_inputs=False,  # autocast decides; images and targets keep their bits
    )  # fmt: skip
    for block in blocks(module):
        if gpu and config.compile:
            block.compile(dynamic=True)
        fully_shard(block, mesh=mesh, mp_policy=narrow, reshard_after_forward=True)
    fully_shard(
        module, mesh=mesh, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False), reshard_after_forward=True
    )
    register_fsdp_forward_method(module, "embed")


def _recompute(block: nn.Module) -> None:
    """Let a block forget what it computed, and compute it again for its gradient (Chen et al. 2016, 1604.06174)."""
    from torch.utils.checkpoint import checkpoint

    forward = block.forward

    def checkpointed(*inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, **named)

    block.forward = checkpointed


def _full(tensor: Tensor) -> Tensor:
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _heard(said: Any) -> Any:
    """What the first process said: plain data, sent as JSON."""
    device = communicating(torch.device("cpu"))
    text = torch.frombuffer(bytearray(json.dumps(said).encode()), dtype=torch.uint8).to(device)
    size = torch.tensor([len(text)], device=device)
    distributed.broadcast(size, src=0)
    if distributed.get_rank():
        text = torch.empty(int(size), dtype=torch.uint8, device=device)
    distributed.broadcast(text, src=0)
    return json.loads(bytes(text.cpu().numpy()))
