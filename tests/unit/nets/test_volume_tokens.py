"""Guards encoders of volumes in the place of one of slices: tokens lie where the voxels do, in every plane."""

import pytest
import torch
from backbones import NETWORKS
from torch import nn
from torch.nn import functional

from cairn.nets.encoder import Encoder, seeded
from cairn.nets.registry import build_encoder
from cairn.nets.volume_tokens import VolumeTokens, _resampled
from cairn.slices.orient import TURNS, stack_of


class Averages(Encoder):
    """Stages that are averages of the volume: where a token lies can be seen."""

    def features(self, x_N1XYZ):
        return [functional.avg_pool3d(x_N1XYZ, s).expand(-1, c, -1, -1, -1) for s, c in zip(
            self.config.strides, self.config.channels, strict=True)]  # fmt: skip


CONFIG = NETWORKS["residual"]  # strides 2, 4, 8; channels 4, 6, 8


@pytest.mark.parametrize("plane", list(TURNS))
def test_a_token_is_what_lies_around_its_patch(plane):
    """Of a volume that rises evenly along R, A and S, an average is the value at its middle."""
    axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in (16, 24, 32)], indexing="ij")
    volume = axes[0] + 30 * axes[1] + 1000 * axes[2]
    stack = torch.from_numpy(stack_of(volume.numpy(), plane).copy())
    tokens = VolumeTokens(Averages(CONFIG), patch_size=4, plane=plane)
    classes, patches = tokens.tokens_of_volume(stack)
    s, h, w = stack.shape
    assert tokens.hidden_size == 6
    assert classes.shape == (s, 6)
    assert patches.shape == (s, h // 4, w // 4, 6)
    expected = functional.avg_pool2d(stack[:, None], 4)[:, 0]
    inner = slice(2, s - 2)  # beyond the last samples there is no slope
    torch.testing.assert_close(patches[inner, ..., 0], expected[inner], rtol=0, atol=0.05)
    torch.testing.assert_close(classes[inner, 0], stack[inner].mean((1, 2)), rtol=0, atol=0.05)


def test_a_volume_that_does_not_divide_keeps_its_places():
    """Slices 5 and 6 lie half a slice to either side of the middle of the second slab, whose samples are 4 apart."""
    x = torch.randn(9, 21, 19, generator=torch.Generator().manual_seed(0))
    _, patches = VolumeTokens(Averages(CONFIG), patch_size=4).tokens_of_volume(x)
    assert patches.shape == (9, 6, 5, 6)
    padded = functional.pad(x[None, None], (0, 5, 0, 3, 0, 7), mode="replicate")[0]
    first, second, third, _ = functional.avg_pool3d(padded, 4)[0][:, 1, 2]
    torch.testing.assert_close(patches[5, 1, 2, 0], first / 8 + 7 * second / 8)
    torch.testing.assert_close(patches[6, 1, 2, 0], 7 * second / 8 + third / 8)


def test_wider_patches_average_and_constants_stay():
    x = torch.arange(8.0)
    found = _resampled(x, 0, 2, 4, 4)
    torch.testing.assert_close(found, torch.tensor([5 / 7, 2.5, 4.5, 7 - 5 / 7]))
    torch.testing.assert_close(_resampled(torch.ones(3, 5), 1, 8, 40, 1), torch.ones(3, 40))


@pytest.mark.parametrize("kind", ["residual", "vit", "swin"])
def test_any_encoder_serves(kind):
    with seeded(1):
        tokens = VolumeTokens(build_encoder(NETWORKS[kind]), patch_size=8)
    assert isinstance(tokens, nn.Module)
    with torch.inference_mode():
        classes, patches = tokens.tokens_of_volume(torch.randn(10, 24, 24))
    assert classes.shape == (10, tokens.hidden_size)
    assert patches.shape == (10, 3, 3, tokens.hidden_size)
    assert patches.isfinite().all()
