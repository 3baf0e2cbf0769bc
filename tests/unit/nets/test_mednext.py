"""Guards MedNeXt: layer for layer MONAI's, which is the oracle."""

import pytest
import torch
from monai.networks.nets.mednext import create_mednext

from cairn.config.networks import MedNextConfig
from cairn.nets.registry import build_encoder
from cairn.nets.size import count, sizes


def ours(name):
    """A name of MONAI's encoder in our encoder."""
    part, *rest = name.split(".")
    if part == "stem":
        return name
    level = {"enc_stages": 0, "down_blocks": 1}.get(part)
    if level is None:  # the bottleneck is the last stage, behind its step down
        return ".".join(["stages.4", str(int(rest[0]) + 1), *rest[1:]])
    stage = int(rest[0]) + level
    if part == "down_blocks":
        return ".".join([f"stages.{stage}.0", *rest[1:]])
    return ".".join([f"stages.{stage}", str(int(rest[1]) + bool(stage)), *rest[2:]])


ENCODER = ("stem", "enc_stages", "down_blocks", "bottleneck")


@pytest.mark.parametrize("size", ["S", "B", "M", "L"])
def test_sizes_have_the_weights_of_the_original(repository, size):
    config = sizes(repository / "config/backbones.yaml")[f"mednext_{size.lower()}"]
    with torch.device("meta"):
        other = create_mednext(size)
    expected = sum(p.numel() for n, p in other.named_parameters() if n.startswith(ENCODER))
    assert count(lambda: build_encoder(config)) == expected


def test_the_original_s_weights_give_the_original_s_features():
    other = create_mednext("S")
    encoder = build_encoder(MedNextConfig())
    encoder.load_state_dict({ours(n): t for n, t in other.state_dict().items() if n.startswith(ENCODER)})
    seen = []
    for module in (*other.enc_stages, other.bottleneck):
        module.register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad():
        x = torch.randn(1, 1, 32, 32, 32)
        other(x)
        for mine, theirs in zip(encoder(x), seen, strict=True):
            torch.testing.assert_close(mine, theirs)
