"""Guards the ViT: places are told apart, on every grid, and its options do what their papers say."""

import pytest
import torch
from backbones import NETWORKS

from cairn.config.networks import VitConfig, parse_network
from cairn.errors import CairnError
from cairn.nets.encoder import seeded
from cairn.nets.registry import build_encoder
from cairn.nets.size import counts, sizes
from cairn.nets.vit import angles, turned

CPU = torch.device("cpu")


def made(**options):
    with seeded(1):
        return build_encoder(VitConfig(**{"width": 12, "depth": 2, "heads": 2, **options}))


@pytest.mark.parametrize("options", [{}, {"position": "learned"}, {"position": "none", "rotary": True}])
def test_equal_patches_at_other_places_get_other_features(options):
    x = torch.randn(1, 1, 16, 16, 16)
    x[..., 8:] = x[..., :8]
    encoder = made(**options)
    for parameter in encoder.blocks.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    features = encoder(x)[0]
    assert not torch.allclose(features[..., 0], features[..., 1], atol=1e-4)


def test_without_positions_they_do_not():
    x = torch.randn(1, 1, 16, 16, 16)
    x[..., 8:] = x[..., :8]
    features = made(position="none")(x)[0]
    torch.testing.assert_close(features[..., 0], features[..., 1])


def test_rotary_scores_depend_on_the_distance_alone():
    angle = angles((4, 4, 4), 2, CPU)
    q, k = torch.randn(1, 1, 1, 12), torch.randn(1, 1, 1, 12)
    score = (turned(q.expand(-1, -1, 64, -1), angle) @ turned(k.expand(-1, -1, 64, -1), angle).mT)[0, 0]
    table = score.view(4, 4, 4, 4, 4, 4)
    torch.testing.assert_close(table[0, 1, 2, 1, 3, 2], table[2, 0, 1, 3, 2, 1])
    assert not torch.isclose(table[0, 1, 2, 1, 3, 2], table[0, 1, 2, 3, 1, 2])
    assert angles((3, 3, 3), 2, CPU)[13].eq(0).all()  # the centre


def test_a_place_keeps_its_numbers_in_a_larger_box():
    small, large = angles((2, 2, 2), 2, CPU).view(2, 2, 2, -1), angles((4, 2, 2), 2, CPU).view(4, 2, 2, -1)
    torch.testing.assert_close(small, large[1:3])


def test_learned_positions_are_interpolated_and_exact_on_their_own_grid():
    encoder = made(position="learned", position_grid=(2, 2, 2))
    assert encoder._places((2, 2, 2), CPU) is encoder.position
    with torch.no_grad():
        encoder.position[:] = encoder.position.mean(dim=2, keepdim=True)
    expected = torch.nn.functional.interpolate(encoder.position, size=(5, 3, 2), mode="trilinear")
    torch.testing.assert_close(encoder._places((5, 3, 2), CPU), expected)
    longer = encoder._places((5, 2, 2), CPU)
    torch.testing.assert_close(longer[:, :, 3], encoder.position[:, :, 0])


def test_attention_is_that_of_torch():
    attention = made().blocks[0].attention
    other = torch.nn.MultiheadAttention(12, 2, batch_first=True)
    names = {"in_proj_weight": "qkv.weight", "in_proj_bias": "qkv.bias", "out_proj.weight": "out.weight"}
    names["out_proj.bias"] = "out.bias"
    other.load_state_dict({theirs: attention.state_dict()[mine] for theirs, mine in names.items()})
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(attention(x, None), other(x, x, x)[0])


def test_registers_and_layer_scale():
    encoder = made(registers=3, layer_scale=1e-9)
    x = torch.randn(1, 1, 16, 16, 24)
    features = encoder(x)[0]
    plain = made()
    expected = plain.norm((plain.embed(x) + plain._places((2, 2, 3), CPU)).movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(features, expected)  # blocks that start at nothing change nothing


def test_primus_m_has_its_published_size(repository):
    config = sizes(repository / "config/backbones.yaml")["primus_m"]
    positions = config.width * 20**3
    assert counts(config)["reconstruction"] - positions == pytest.approx(147e6, rel=0.01)


@pytest.mark.parametrize(
    ("section", "message"),
    [({"width": 10, "heads": 3}, "do not divide into 3 heads"), ({"width": 64, "heads": 4, "rotary": True}, "pairs"),
     ({"width": 64, "heads": 4}, "not a multiple of 6"), ({"patch": 5}, "patch"),
     ({"dept": 3}, "did you mean 'depth'")],
)  # fmt: skip
def test_inconsistent_sections_are_refused(section, message):
    with pytest.raises(CairnError, match=message):
        parse_network({"kind": "vit", **section})


def test_tiny_networks_have_one_stage():
    assert NETWORKS["primus"].channels == (24,)
