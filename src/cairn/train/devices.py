"""Where a job runs: threads, device, precision."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from cairn.config.training import OptimConfig
from cairn.errors import CairnError


def set_up(device: str, threads: int, deterministic: bool = True) -> torch.device:
    """Set threads and determinism, and choose the device (``auto``: a GPU where there is one).

    Raises:
        CairnError: when ``cuda`` is asked for and there is none.
    """
    torch.set_num_threads(max(1, threads))
    if device == "cuda" and not torch.cuda.is_available():
        raise CairnError("device 'cuda': this machine has no usable GPU.", "Set device to 'auto' or 'cpu'.", "device")
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    if chosen.type == "cuda" and deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
    return chosen


def numerics(device: torch.device) -> dict[str, Any]:
    """What a user sets and rounding depends on; a state made under other values is not continued.

    Not the processor's or the GPU's model: on a mixed cluster a job must go on wherever it is sent.
    """
    return {"device": device.type, "torch": str(torch.__version__), "threads": torch.get_num_threads()}


def precision(device: torch.device) -> Any:
    """bfloat16 on a GPU; float32 on a CPU, where bfloat16 can be ten times slower."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def for_speed(module: nn.Module, device: torch.device, config: OptimConfig) -> None:
    """On a GPU, as configured: weights of convolutions channels last, ``module.encoder`` compiled; all in place.

    Tensors keep their names, shapes and values. On a CPU nothing is done.
    """
    if device.type != "cuda":
        return
    if config.channels_last:
        channels_last(module)
    if config.compile:
        module.encoder.compile(dynamic=True)


def channels_last(module: nn.Module) -> None:
    """Lay the weights of 3D convolutions out with channels last, in which tensor cores want them.

    A convolution's output has the layout of its weight, so that inputs follow.
    """
    for parameter in module.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)


def describe(device: torch.device, deterministic: bool) -> dict[str, Any]:
    """Device, precision and determinism, for the card."""
    gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if gpu else "cpu",
        "precision": "bfloat16" if gpu else "float32",
        "deterministic": deterministic or not gpu,
        "threads": torch.get_num_threads(),
    }
