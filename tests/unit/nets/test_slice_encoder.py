"""Guards encoders of slices: tokens where they belong, masks, other sizes, seeds, published sizes, no torchvision."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cairn.config.networks import check_dims, parse_network
from cairn.config.objectives import MaeConfig
from cairn.errors import CairnError
from cairn.nets.blocks import parameters
from cairn.nets.encoder import seeded
from cairn.nets.registry import build_encoder, build_slice_encoder
from cairn.nets.size import count, sizes
from cairn.nets.slice_encoder import BATCH
from cairn.nets.weights import load_weights, save_weights

TINY = {
    "kind": "dinov2", "image_size": 16, "patch_size": 4, "hidden_size": 12, "layers": 2, "heads": 2, "layerscale": 0.5,
    "mlp_ratio": 2,
}  # fmt: skip
PIXELS = {"kind": "pixels", "image_size": 16, "patch_size": 4}


def made(seed=1, **changes):
    with seeded(seed):
        return build_slice_encoder(parse_network(TINY | changes)).eval()


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_tokens_have_the_shapes_of_the_patches():
    encoder = made()
    classes, patches = encoder.tokens(noise(3, 1, 16, 16))
    assert classes.shape == (3, 12)
    assert patches.shape == (3, 4, 4, 12)
    (stage,) = encoder(noise(3, 1, 16, 16))  # as an encoder like all others
    assert torch.equal(stage, patches.movedim(-1, 1))
    assert encoder.config.channels == (12,)
    assert encoder.config.strides == (4,)


def test_a_patch_s_token_lies_where_the_patch_does():
    """With attention and inner layers scaled to nothing a token is its patch's embedding and place alone."""
    encoder = made(layerscale=1e-9)
    x = noise(1, 1, 16, 16)
    changed = x.clone()
    changed[..., 4:8, 12:16] += 1  # second row, last column
    moved = (encoder.tokens(x)[1] - encoder.tokens(changed)[1]).abs().amax(-1)[0] > 1e-6
    assert moved.nonzero().tolist() == [[1, 3]]


def test_hidden_patches_are_not_seen_and_others_are():
    encoder = made()
    hidden = torch.zeros(1, 4, 4, dtype=torch.bool)
    hidden[0, 1, 3] = True
    x = noise(1, 1, 16, 16)
    changed = x.clone()
    changed[..., 4:8, 12:16] += 5
    for a, b in zip(encoder.tokens(x, hidden), encoder.tokens(changed, hidden), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(encoder.tokens(x)[0], encoder.tokens(changed)[0])
    none = torch.zeros_like(hidden)
    assert torch.equal(encoder.tokens(x, none)[0], encoder.tokens(x)[0])


def test_other_sizes_interpolate_positions_and_odd_ones_are_refused():
    encoder = made()
    assert encoder.tokens(noise(2, 1, 24, 8))[1].shape == (2, 6, 2, 12)
    with pytest.raises(CairnError, match=r"image \(16, 18\) does not divide by its stride, 4"):
        encoder.tokens(noise(1, 1, 16, 18))
    with pytest.raises(CairnError, match="none of images"):
        encoder(noise(1, 1, 16, 16, 16))


def test_every_weight_but_the_mask_token_is_reached_and_with_hidden_patches_that_too():
    encoder = made()
    hidden = torch.eye(4, dtype=torch.bool)[None]
    sum(t.square().sum() for t in encoder.tokens(noise(1, 1, 16, 16), hidden)).backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert len(encoder.blocks) == 2


def test_seeds_decide_the_start_and_drop_path_draws_in_training_alone():
    assert all(torch.equal(a, b) for a, b in zip(made().parameters(), made().parameters(), strict=True))
    assert not torch.equal(made().dinov2.embeddings.cls_token, made(2).dinov2.embeddings.cls_token)
    encoder, x = made(drop_path=0.5), noise(8, 1, 16, 16)
    assert torch.equal(encoder.tokens(x)[0], encoder.tokens(x)[0])
    encoder.train()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(encoder.tokens(x)[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_pixels_are_their_own_tokens():
    encoder = build_slice_encoder(parse_network(PIXELS))
    x = noise(2, 1, 8, 12)
    classes, patches = encoder.tokens(x)
    assert parameters(encoder) == 0
    assert encoder.config.hidden_size == 16
    assert torch.equal(patches[1, 1, 2], x[1, 0, 4:8, 8:12].flatten())
    expected = torch.stack(
        [x[:, 0, 2 * r : 2 * r + 2, 3 * c : 3 * c + 3].mean((1, 2)) for r in range(4) for c in range(4)]
    )
    torch.testing.assert_close(classes, expected.T)
    with pytest.raises(CairnError, match="no mask token"):
        encoder.tokens(x, torch.zeros(2, 2, 3, dtype=torch.bool))


@pytest.mark.parametrize("section", [TINY, PIXELS])
def test_a_volume_is_its_slices(section):
    encoder = build_slice_encoder(parse_network(section)).eval()
    volume = noise(BATCH + 1, 16, 16)
    with torch.inference_mode():
        classes, patches = encoder.tokens_of_volume(volume)
        one, its_patches = encoder.tokens(volume[BATCH][None, None])
    assert classes.shape == (BATCH + 1, encoder.config.hidden_size)
    torch.testing.assert_close(classes[-1:], one)
    torch.testing.assert_close(patches[-1:], its_patches)


def test_weights_survive_the_way_to_disk(tmp_path):
    encoder = made()
    save_weights(tmp_path / "a.safetensors", encoder.state_dict(), {})
    other = made(2)
    load_weights(tmp_path / "a.safetensors", other)
    assert torch.equal(other.tokens(noise(1, 1, 16, 16))[0], encoder.tokens(noise(1, 1, 16, 16))[0])


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("dinov2_b", 86.0e6, 86.2e6), ("dinov2_l", 303e6, 305e6), ("dinov2_g", 1.1e9, 1.3e9), ("dinov2_tiny", 2e5, 1e6)],
)
def test_sizes_of_the_field_have_the_published_weights(repository, name, least, most):
    config = sizes(repository / "config/backbones.yaml")[name]
    assert least <= count(lambda: build_encoder(config)) <= most


def test_slices_and_volumes_are_not_mixed_up():
    slices, volumes = parse_network(TINY), parse_network({})
    check_dims(slices, 2, "x")
    check_dims(volumes, 3, "x")
    with pytest.raises(CairnError, match=r"objective mae is for volumes, and network dinov2 encodes slices.*residual"):
        MaeConfig(patch_voxels=(16, 16, 16)).check(slices)
    with pytest.raises(CairnError, match=r"is for slices, and network residual encodes volumes.*dinov2, pixels"):
        build_slice_encoder(volumes)


def test_sections_refuse_what_does_not_divide():
    for section in (TINY | {"image_size": 18}, TINY | {"heads": 5}, PIXELS | {"patch_size": 3}):
        with pytest.raises(CairnError, match="do not divide"):
            parse_network(section)


def test_torchvision_is_not_asked_for_even_where_there_is_one(tmp_path):
    """A torchvision that cannot be imported, as the one of another torch is: whoever touches it dies."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text("raise RuntimeError('torchvision was imported')\n")
    (tmp_path / "torchvision-0.1.dist-info").mkdir()
    (tmp_path / "torchvision-0.1.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1\n"
    )
    code = (
        "import sys, torch; from cairn.config.networks import parse_network;"
        "from cairn.nets.registry import build_encoder;"
        f"build_encoder(parse_network({TINY!r})).tokens(torch.zeros(1, 1, 16, 16));"
        "sys.exit('torchvision' in sys.modules)"
    )
    source = Path(__file__).resolve().parents[3] / "src"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": f"{tmp_path}:{source}", "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_no_environment_holds_torchvision_or_what_pulls_it_in(repository):
    for lock in sorted((repository / "envs").glob("*.lock")):
        held = {line.split("==")[0].strip().lower() for line in lock.read_text().splitlines() if "==" in line}
        assert held, lock
        assert not held & {"torchvision", "timm", "lightly", "torchaudio"}, lock
