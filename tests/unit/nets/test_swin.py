"""Guards the Swin encoder: with MONAI's weights it gives the features of MONAI's own transformer."""

import pytest
import torch
from monai.networks.nets import swin_unetr

from cairn.config.networks import SwinConfig, parse_network
from cairn.errors import CairnError
from cairn.nets.registry import build_encoder

AXES = {
    "b c d h w -> b d h w c": (0, 2, 3, 4, 1), "b d h w c -> b c d h w": (0, 4, 1, 2, 3),
    "n c d h w -> n d h w c": (0, 2, 3, 4, 1), "n d h w c -> n c d h w": (0, 4, 1, 2, 3),
}  # fmt: skip


def ours(name):
    """A name of MONAI's transformer in our encoder."""
    part, *rest = name.split(".")
    if part == "patch_embed":
        return ".".join(["embed", *rest[1:]])
    stage = int(part.removeprefix("layers").removesuffix("c")) - 1
    if part.endswith("c"):
        return ".".join([f"stages.{stage}.convolve", *rest[2:]])
    return ".".join([f"stages.{stage}", "merge" if rest[1] == "downsample" else rest[1], *rest[2:]])


@pytest.mark.parametrize("box", [(32, 32, 32), (64, 32, 32)])
def test_features_are_those_of_monai(monkeypatch, box):
    monkeypatch.setattr(swin_unetr, "rearrange", lambda x, pattern: x.permute(AXES[pattern]))  # wants einops
    config = SwinConfig(width=12, depths=(2, 2, 2, 2), heads=(1, 2, 3, 4), window=4)
    other = swin_unetr.SwinTransformer(
        1, 12, (4, 4, 4), (2, 2, 2), config.depths, config.heads, downsample="mergingv2", use_v2=False
    )
    encoder = build_encoder(config)
    encoder.load_state_dict({ours(n): t for n, t in other.state_dict().items()})
    with torch.no_grad():
        x = torch.randn(1, 1, *box)
        for mine, theirs in zip(encoder(x), other(x), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(CairnError, match="48 channels do not divide into 5 heads"):
        parse_network({"kind": "swin", "heads": [5, 6, 12, 24]})
