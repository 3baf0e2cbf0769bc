"""Made-up teachers, and what they assign by a plain reference: for the tests of DINO and of Curia."""

import math

import torch


def differing(objective):
    """Make the teacher differ from the student, its centres from 0, and the mask token from nothing."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in [*objective.named_parameters(), *objective.named_buffers()]:
            if name.startswith("teacher") or name.endswith(("centre", "mask_token")):
                p += 0.1 * torch.randn(p.shape, generator=draw)
    return objective


def plain_koleo(x):
    """Minus the mean log distance to the nearest other, rows scaled to length 1."""
    rows = [row / row.norm() for row in x]
    nearest = [min(float((a - b).norm()) for j, b in enumerate(rows) if j != i) for i, a in enumerate(rows)]
    return -sum(math.log(distance) for distance in nearest) / len(rows)


def plain_targets(logits, centre, temperature, how):
    if how == "centring":
        return torch.softmax((logits - centre) / temperature, dim=-1)
    q = torch.exp(logits.double() / temperature)
    for _ in range(3):
        q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
        q = q / q.sum(dim=1, keepdim=True) / q.shape[0]
    return (q * q.shape[0]).to(logits.dtype)
