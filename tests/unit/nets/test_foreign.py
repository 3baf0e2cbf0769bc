"""Guards foreign weights: renamed and inflated as the mapping says, every tensor accounted for, or nothing written."""

import pytest
import torch
import yaml
from safetensors.torch import save_file

from cairn.config.networks import parse_network
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.nets.foreign import import_weights
from cairn.nets.meta import read_meta
from cairn.nets.registry import build_encoder
from cairn.nets.weights import load_weights, read_tensors

NETWORK = {"kind": "unet", "width": 4, "levels": 2, "convolutions": 1}
JOB = {"run": "theirs", "seed": 3, "network": NETWORK}
FIRST = "stages.0.0.conv.weight"
MAPPING = {
    "source": "A paper, 2024", "rename": [{"match": r"model\.enc\.(\d+)\.(.*)", "to": r"stages.\1.\2"}],
    "exact": {"model.first": FIRST}, "drop": [r"decoder\..*"], "inflate": {FIRST: "mean"},
}  # fmt: skip


def theirs():
    """Our encoder's tensors under foreign names, with four input channels, in half precision, and a decoder's."""
    own = build_encoder(parse_network(NETWORK)).state_dict()
    tensors = {f"model.enc.{n.removeprefix('stages.')}": (t + 1).half() for n, t in own.items() if n != FIRST}
    tensors["model.first"] = torch.randn(4, 4, 3, 3, 3)
    return tensors | {"decoder.weight": torch.zeros(2)}


def run(folder, tensors, mapping):
    save_file(tensors, folder / "theirs.safetensors")
    (folder / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    out = folder / "out" / "encoder.safetensors"
    return import_weights(JOB, folder / "theirs.safetensors", [folder / "mapping.yaml"], out), out


def test_everything_lands_in_its_place_and_is_reported(tmp_path, capsys):
    tensors = theirs()
    facts, out = run(tmp_path, tensors, MAPPING)
    got, encoder = read_tensors(out), build_encoder(parse_network(NETWORK))
    load_weights(out, encoder)  # fits exactly
    torch.testing.assert_close(got[FIRST], tensors["model.first"].mean(1, keepdim=True))
    second = "1.1.conv.weight"  # behind the pooling
    torch.testing.assert_close(got[f"stages.{second}"], tensors[f"model.enc.{second}"].float())
    assert all(t.dtype == torch.float32 for t in got.values())
    assert facts["tensors"]["matched"][FIRST] == "model.first"
    assert facts["tensors"]["inflated"] == {FIRST: "mean of 4 channels"}
    assert facts["tensors"]["dropped"] == ["decoder.weight"]
    assert facts["tensors"]["new"] == []
    assert facts["tensors"]["of"] == len(got) == len(facts["tensors"]["matched"])
    assert facts["foreign"]["sha256"] == sha256(tmp_path / "theirs.safetensors")
    meta = read_meta(out)
    assert meta["objective"] == {"kind": "foreign", "file": "theirs.safetensors", "source": "A paper, 2024"} | {
        "sha256": facts["foreign"]["sha256"]
    }
    assert meta["network"] == parse_network(NETWORK).model_dump(mode="json")
    said = capsys.readouterr().err
    assert "1 foreign ones dropped" in said
    assert f"{FIRST}: mean of 4 channels" in said


@pytest.mark.parametrize(("how", "combine"), [("first", lambda w: w[:, :1]), ("repeat", lambda w: w.sum(1, True))])
def test_ways_of_inflating(tmp_path, how, combine):
    tensors = theirs()
    _, out = run(tmp_path, tensors, MAPPING | {"inflate": {FIRST: how}})
    torch.testing.assert_close(read_tensors(out)[FIRST], combine(tensors["model.first"]))


def test_an_image_repeated_over_their_channels_gives_what_they_gave(tmp_path):
    tensors = theirs()
    _, out = run(tmp_path, tensors, MAPPING | {"inflate": {FIRST: "repeat"}})
    x = torch.randn(1, 1, 6, 6, 6)
    expected = torch.nn.functional.conv3d(x.expand(-1, 4, -1, -1, -1), tensors["model.first"])
    torch.testing.assert_close(torch.nn.functional.conv3d(x, read_tensors(out)[FIRST]), expected, rtol=1e-4, atol=1e-4)


def renamed(tensors, old, new):
    tensors[new] = tensors.pop(old)


BIAS = "model.enc.0.0.conv.bias"


@pytest.mark.parametrize(
    ("change", "mapping", "named"),
    [
        (lambda t: t.pop(BIAS), {}, r"missing: stages\.0\.0\.conv\.bias"),
        (lambda t: t.update(more=torch.zeros(1)), {}, "unexpected: more"),
        (lambda t: renamed(t, BIAS, "model.enc.9.x"), {}, r"unexpected: model.enc.9.x \(as stages.9.x\)"),
        (lambda t: t.update({BIAS: torch.zeros(9)}), {}, r"of another shape: stages.0.0.conv.bias \(9,\) for \(4,\)"),
        (lambda t: t.update({BIAS: torch.full((4,), float("nan"))}), {}, "not finite: stages.0.0.conv.bias"),
        (lambda t: t.update({BIAS: torch.zeros(4, dtype=torch.int64)}), {}, "of another type: stages.0.0.conv.bias"),
        (lambda t: t.update({"stages.0.0.conv.bias": torch.zeros(4)}), {}, "two for one: .* for stages.0.0.conv.bias"),
        (None, {"inflate": {}}, r"of another shape: stages.0.0.conv.weight \(4, 4, 3, 3, 3\) for \(4, 1, 3, 3, 3\)"),
        (None, {"inflate": {FIRST: "mean", "stages.1.1.conv.weight": "mean"}}, "without effect: inflate: stages.1.1"),
        (None, {"drop": [r"decoder\..*", "head.*"]}, r"without effect: drop: head\.\*"),
        (None, {"new": [r"stages\.0\.0\.conv\.bias"]}, "without effect: new"),
        (None, {"exact": {"model.first": FIRST, "gone": "x"}}, "without effect: exact: gone"),
        (None, {"rename": [*MAPPING["rename"], {"match": "teacher.*", "to": "x"}]}, "without effect: rename: teacher"),
        (None, {"drop": []}, "unexpected: decoder.weight"),
    ],
)  # fmt: skip
def test_a_surprise_stops_it_and_nothing_is_written(tmp_path, change, mapping, named):
    tensors = theirs()
    if change:
        change(tensors)
    with pytest.raises(CairnError, match=named):
        run(tmp_path, tensors, MAPPING | mapping)
    assert not (tmp_path / "out" / "encoder.safetensors").exists()


def test_what_the_mapping_leaves_open_starts_from_the_seed(tmp_path):
    tensors = theirs()
    del tensors[BIAS]
    facts, out = run(tmp_path, tensors, MAPPING | {"new": [r".*\.0\.conv\.bias"]})
    assert facts["tensors"]["new"] == ["stages.0.0.conv.bias"]
    first = read_tensors(out)["stages.0.0.conv.bias"]
    _, out = run(tmp_path, tensors, MAPPING | {"new": [r".*\.0\.conv\.bias"]})
    assert torch.equal(read_tensors(out)["stages.0.0.conv.bias"], first)


def test_without_a_mapping_names_are_the_same(tmp_path):
    own = build_encoder(parse_network(NETWORK)).state_dict()
    save_file(own, tmp_path / "theirs.safetensors")
    facts = import_weights(JOB, tmp_path / "theirs.safetensors", [], tmp_path / "encoder.safetensors")
    assert facts["tensors"]["matched"] == {n: n for n in own}
    assert all(torch.equal(t, own[n]) for n, t in read_tensors(tmp_path / "encoder.safetensors").items())


def test_a_table_of_the_architecture_must_agree(tmp_path):
    job = JOB | {"network": {"kind": "swin", "width": 6, "depths": [1], "heads": [1], "window": 3}}
    own = dict(build_encoder(parse_network(job["network"])).state_dict())
    name = "stages.0.blocks.0.attn.relative_position_index"
    save_file(own | {name: own[name] + 1}, tmp_path / "theirs.safetensors")
    with pytest.raises(CairnError, match=f"a table of the architecture that differs: {name}"):
        import_weights(job, tmp_path / "theirs.safetensors", [], tmp_path / "encoder.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [("exat: {}", "did you mean 'exact'"), ("drop: ['(']", "not a regular expression"), ("- a", "no mapping of keys"),
     ("a: [", "no readable mapping"), ("inflate: {a: max}", "inflate.a")],
)  # fmt: skip
def test_mapping_files_that_are_wrong(tmp_path, text, message):
    (tmp_path / "mapping.yaml").write_text(text)
    with pytest.raises(CairnError, match=message):
        import_weights(JOB, tmp_path / "x", [tmp_path / "mapping.yaml"], tmp_path / "y")
