"""A stand-in for deepbet's wheel: two TorchScript programs that call bright voxels brain."""

import io
import zipfile
from pathlib import Path

import torch


class Bright(torch.nn.Module):
    """Channel 1 is high where a voxel is above the threshold, as the real networks' is in brain."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x):
        brain = torch.sigmoid(40 * (x - self.threshold))
        return torch.cat([1 - brain, brain], 1)


def make_wheel(path: Path, threshold: float = 0.5) -> Path:
    """Write the archive with both members that `DeepBet` reads."""
    with zipfile.ZipFile(path, "w") as archive:
        for member in ("bbox_model", "model"):
            data = io.BytesIO()
            torch.jit.save(torch.jit.script(Bright(threshold)), data)
            archive.writestr(f"data/models/{member}.pt", data.getvalue())
    return path
