"""Guards released DINOv2 weights: made-up checkpoints of their schema arrive tensor for tensor, or not at all."""

import json

import pytest
import torch
import yaml
from safetensors.torch import save_file

from cairn.config.networks import parse_network
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.nets.encoder import seeded
from cairn.nets.foreign import import_weights
from cairn.nets.registry import build_slice_encoder
from cairn.nets.released import files_of
from cairn.nets.weights import load_weights

NETWORK = {"kind": "dinov2", "image_size": 16, "patch_size": 4, "hidden_size": 12, "layers": 2, "heads": 3}
JOB = {"run": "curia", "seed": 0, "network": NETWORK}
COMMIT = "9657dc56276bc6c9503ef6f8d060879c8bee482f"
CONFIG = {  # as a release has it: what is the library's default is left out
    "architectures": ["Dinov2Model"], "model_type": "dinov2", "hidden_size": 12, "num_hidden_layers": 2,
    "num_attention_heads": 3, "image_size": 16, "patch_size": 4, "num_channels": 1, "use_swiglu_ffn": True,
    "drop_path_rate": 0.4, "layerscale_value": 1.0, "torch_dtype": "float32",
}  # fmt: skip
INNER = 32  # two thirds of 4 x 12


def published(seed=0):
    """Random tensors under the names, and in the shapes, that `Dinov2Model` had when these models were released."""
    draw = torch.Generator().manual_seed(seed)

    def tensor(*shape):
        return torch.randn(*shape, generator=draw)

    out = {
        "embeddings.cls_token": tensor(1, 1, 12), "embeddings.mask_token": tensor(1, 12),
        "embeddings.position_embeddings": tensor(1, 17, 12),
        "layernorm.weight": tensor(12), "layernorm.bias": tensor(12),
        "embeddings.patch_embeddings.projection.weight": tensor(12, 1, 4, 4),
        "embeddings.patch_embeddings.projection.bias": tensor(12),
    }  # fmt: skip
    for n in range(2):
        block = f"encoder.layer.{n}"
        for name in ("attention.attention.query", "attention.attention.key", "attention.attention.value",
                     "attention.output.dense"):  # fmt: skip
            out[f"{block}.{name}.weight"], out[f"{block}.{name}.bias"] = tensor(12, 12), tensor(12)
        for name in ("norm1", "norm2"):
            out[f"{block}.{name}.weight"], out[f"{block}.{name}.bias"] = tensor(12), tensor(12)
        for name in ("layer_scale1", "layer_scale2"):
            out[f"{block}.{name}.lambda1"] = tensor(12)
        out |= {
            f"{block}.mlp.weights_in.weight": tensor(2 * INNER, 12), f"{block}.mlp.weights_in.bias": tensor(2 * INNER),
            f"{block}.mlp.weights_out.weight": tensor(12, INNER), f"{block}.mlp.weights_out.bias": tensor(12),
        }  # fmt: skip
    return out


def run(folder, tensors, config=CONFIG, mapping=None, job=JOB, bare=False):
    """Write a release and its mapping, import it; the facts, and the encoder with its weights."""
    release, out = folder / "curia", folder / "encoder.safetensors"
    release.mkdir(exist_ok=True)
    save_file(tensors, release / "model.safetensors")
    if config is not None:
        (release / "config.json").write_text(json.dumps(config))
    rules = {"source": "Curia", "revision": sha256(release / "model.safetensors")} if mapping is None else mapping
    (folder / "mapping.yaml").write_text(yaml.safe_dump(rules))
    entry = release / "model.safetensors" if bare else release
    facts = import_weights(job, entry, [folder / "mapping.yaml"], out)
    encoder = build_slice_encoder(parse_network(job["network"])).eval()
    load_weights(out, encoder)
    return facts, encoder


def reference(tensors, x):
    """The published model in plain functions, from its tensors: classes ``[N, 12]``, patches ``[N, T, 12]``."""

    def linear(name, value):
        return value @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(name, value):
        centred = value - value.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    pieces = x[:, 0].unfold(1, 4, 4).unfold(2, 4, 4).reshape(len(x), 16, 16)
    kernel = tensors["embeddings.patch_embeddings.projection.weight"].reshape(12, 16)
    patches = pieces @ kernel.T + tensors["embeddings.patch_embeddings.projection.bias"]
    t = torch.cat([tensors["embeddings.cls_token"].expand(len(x), -1, -1), patches], 1)
    t = t + tensors["embeddings.position_embeddings"]
    for n in range(2):
        block = f"encoder.layer.{n}"
        y = norm(f"{block}.norm1", t)
        q, k, v = (linear(f"{block}.attention.attention.{name}", y).unflatten(-1, (3, 4)).transpose(1, 2)
                   for name in ("query", "key", "value"))  # fmt: skip
        mixed = (torch.softmax(q @ k.transpose(-1, -2) / 2, -1) @ v).transpose(1, 2).flatten(2)
        t = t + tensors[f"{block}.layer_scale1.lambda1"] * linear(f"{block}.attention.output.dense", mixed)
        gate, value = linear(f"{block}.mlp.weights_in", norm(f"{block}.norm2", t)).chunk(2, -1)
        inner = torch.nn.functional.silu(gate) * value
        t = t + tensors[f"{block}.layer_scale2.lambda1"] * linear(f"{block}.mlp.weights_out", inner)
    t = norm("layernorm", t)
    return t[:, 0], t[:, 1:]


def test_a_release_computes_what_was_released(tmp_path):
    tensors = published()
    facts, encoder = run(tmp_path, tensors)
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        classes, patches = encoder.tokens(x)
    expected_classes, expected_patches = reference(tensors, x)
    torch.testing.assert_close(classes, expected_classes, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(patches.flatten(1, 2), expected_patches, rtol=1e-4, atol=1e-4)
    digest = sha256(tmp_path / "curia/model.safetensors")
    origin = {"kind": "foreign", "file": "model.safetensors", "sha256": digest, "source": "Curia", "revision": digest}
    assert facts["foreign"] == origin
    assert facts["tensors"]["of"] == len(facts["tensors"]["matched"]) == len(encoder.state_dict())


def test_other_namings_of_the_same_model(tmp_path):
    """With the prefix of a model with a head, whose head the mapping drops; and as the installed library names them."""
    tensors = published()
    _, encoder = run(tmp_path, tensors)
    headed = {f"dinov2.{n}": t for n, t in tensors.items()} | {"classifier.weight": torch.zeros(2, 12)}
    with pytest.raises(CairnError, match=r"unexpected: classifier\.weight"):
        run(tmp_path, headed)
    mapping = {"revision": COMMIT, "drop": [r"classifier\..*"]}
    facts, same = run(tmp_path, headed, mapping=mapping, bare=True)
    assert facts["tensors"]["dropped"] == ["classifier.weight"]
    _, again = run(tmp_path, {n.removeprefix("dinov2."): t for n, t in encoder.state_dict().items()})
    for other in (same, again):
        state = other.state_dict()
        assert all(torch.equal(t, state[n]) for n, t in encoder.state_dict().items())


QUERY = "encoder.layer.1.attention.attention.query.weight"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop(QUERY), r"missing: dinov2\.encoder\.layer\.1\.attention\.q_proj\.weight"),
        (lambda t: t.pop("embeddings.mask_token"), r"missing: dinov2\.embeddings\.mask_token"),
        (lambda t: t.update({"encoder.layer.7.norm1.bias": torch.zeros(12)}), r"unexpected: .*layer\.7\.norm1\.bias"),
        (lambda t: t.update({QUERY: torch.zeros(12, 13)}), r"another shape: dinov2\..*q_proj\.weight \(12, 13\) for"),
        (lambda t: t.update({QUERY: torch.full((12, 12), torch.nan)}), "not finite"),
        (lambda t: t.update({f"dinov2.{QUERY}": torch.zeros(12, 12)}), "Two foreign tensors for .*q_proj"),
        (lambda t: t.update({"encoder.layer.0.mlp.weights_in.bias": torch.zeros(7)}), "7 rows are not two halves"),
    ],
)
def test_keys_that_do_not_match_stop_it(tmp_path, change, named):
    tensors = published()
    change(tensors)
    with pytest.raises(CairnError, match=named) as refused:
        run(tmp_path, tensors)
    assert refused.value.code == "weights"
    assert not (tmp_path / "encoder.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"num_attention_heads": 2}, "num_attention_heads 2 there, 3 here"),  # which no shape shows
        ({"use_swiglu_ffn": False, "patch_size": 8}, r"patch_size 8 there, 4 here.*use_swiglu_ffn False there"),
        ({"num_channels": 3}, "num_channels 3 there, 1 here"),
        ({"model_type": "vit"}, "model_type vit there"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps 1e-05 there, 1e-06 here"),
    ],
)
def test_another_architecture_is_refused_by_name(tmp_path, changes, named):
    with pytest.raises(CairnError, match=named):
        run(tmp_path, published(), CONFIG | changes)
    (tmp_path / "curia/config.json").write_text("{")
    with pytest.raises(CairnError, match="no model's configuration"):
        run(tmp_path, published(), config=None)


def test_a_revision_is_needed_and_held_to(tmp_path):
    tensors = published()
    with pytest.raises(CairnError, match="without the revision") as refused:
        run(tmp_path, tensors, mapping={})
    assert sha256(tmp_path / "curia/model.safetensors") in refused.value.remedy
    with pytest.raises(CairnError, match=f"not revision {'0' * 64}"):
        run(tmp_path, tensors, mapping={"revision": "0" * 64})
    with pytest.raises(CairnError, match="revision"):
        run(tmp_path, tensors, mapping={"revision": "main"})
    assert run(tmp_path, tensors, mapping={"revision": COMMIT})[0]["foreign"]["revision"] == COMMIT
    note = tmp_path / "curia/.cache/huggingface/download/model.safetensors.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{COMMIT}\netag\n1.0\n")
    assert run(tmp_path, tensors, mapping={"revision": COMMIT})[0]["foreign"]["revision"] == COMMIT
    release = tmp_path / "curia"
    assert files_of(release) == [release / "model.safetensors", release / "config.json", note]
    with pytest.raises(CairnError, match=f"not revision {'1' * 40}.*but {COMMIT}"):
        run(tmp_path, tensors, mapping={"revision": "1" * 40})


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(CairnError, match=r"no model\.safetensors in this folder"):
        import_weights(JOB, tmp_path, [], tmp_path / "x")


def test_the_start_is_not_what_is_left(tmp_path):
    with seeded(0):
        fresh = build_slice_encoder(parse_network(NETWORK)).state_dict()
    _, encoder = run(tmp_path, published())
    assert not [n for n, t in encoder.state_dict().items() if torch.equal(t, fresh[n])]
