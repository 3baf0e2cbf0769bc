"""One of several processes that share a batch: losses, targets and gradients of its part, into a file.

``sharing.py FOLDER RANK PROCESSES``; with one process the whole batch. Run by test_sharing.
"""

import sys
from pathlib import Path

import torch
from radiology import CURIA, NETWORK_2D
from safetensors.torch import save_file
from torch import distributed

from cairn.config.base import parse
from cairn.config.curia import CuriaConfig
from cairn.config.networks import Dinov2Config
from cairn.ssl.latents_assign import advance, koleo, sinkhorn
from cairn.ssl.registry import build_objective
from cairn.ssl.sigreg import sigreg

SAMPLES = 8


def batch():
    """A batch in which samples differ in how many places are hidden, the last half in none."""
    draw = torch.Generator().manual_seed(0)
    hidden = torch.rand(SAMPLES, 2, 4, 4, generator=draw) < torch.linspace(0.9, -0.5, SAMPLES).view(-1, 1, 1, 1)
    wide, local = (torch.randn(SAMPLES, n, s, s, generator=draw) for n, s in ((2, 32), (2, 16)))
    return {"global": wide, "hidden": hidden, "local": local}


def pieces(rows):
    """Each statistic alone, and its gradient where it has one."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(SAMPLES, 6, generator=draw)
    ways = torch.randn(4, 6, generator=draw)
    out = {"sinkhorn": sinkhorn(x[rows].double(), 0.1, 3)}
    uneven = x[:3] if rows.start == 0 else x[:0]  # all of them in the first process
    centre = torch.zeros(6)
    advance(centre, uneven, 0.9)
    out |= {"uneven": sinkhorn(uneven.double(), 0.1, 3), "centre": centre}
    none = torch.zeros(6)
    advance(none, x[:0], 0.9)
    out |= {"none": sinkhorn(x[:0].double(), 0.1, 3), "no centre": none}
    losses = {"koleo": koleo, "sigreg": lambda own: sigreg(own, ways.double(), 17)}
    for name, loss in losses.items():
        own = x[rows].double().requires_grad_()
        value = loss(own)
        (out[f"{name} gradient"],) = torch.autograd.grad(value, own)
        out[name] = value.detach()[None]
    return out


def objective(rows, targets):
    """Loss, centres and gradients of a whole objective."""
    section = parse(CuriaConfig, {**CURIA, "targets": targets, "sigreg_weight": 0.1, "koleo_weight": 1.0})
    module = build_objective(section, Dinov2Config(**{**NETWORK_2D, "drop_path": 0.0}), 0).train()
    loss = module({k: v[rows] for k, v in batch().items()})
    loss.backward()
    out = {f"{targets} {n}": p.grad for n, p in module.named_parameters() if p.grad is not None}
    out |= {f"{targets} {n}": b for n, b in module.named_buffers() if n.endswith("centre")}
    return out | {f"{targets} loss": loss.detach()[None]}


def main(folder, rank, processes):
    torch.set_num_threads(1)
    if processes > 1:
        meeting = f"file://{folder}/meeting"
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
    size = SAMPLES // processes
    rows = slice(rank * size, (rank + 1) * size)
    found = pieces(rows) | objective(rows, "sinkhorn") | objective(rows, "centring")
    save_file({k: v.contiguous() for k, v in found.items()}, folder / f"{processes}-{rank}.safetensors")
    if processes > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
