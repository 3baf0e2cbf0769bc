"""Guards weights: equal content gives equal bytes; what does not fit is refused by name; nothing is half loaded."""

import pytest
import torch
from torch import nn

from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.nets.meta import read_meta
from cairn.nets.weights import load_weights, read_tensors, save_weights


def net():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def test_round_trip_is_exact_and_says_so(tmp_path, capsys):
    source, target = net(), net()
    save_weights(tmp_path / "w.safetensors", source.state_dict(), {"b": 1, "a": [2]})
    save_weights(tmp_path / "v.safetensors", dict(reversed(source.state_dict().items())), {"a": [2], "b": 1})
    report = load_weights(tmp_path / "w.safetensors", target, "net")
    assert all(torch.equal(v, target.state_dict()[k]) for k, v in source.state_dict().items())
    assert "4 of 4 tensors of the net matched" in capsys.readouterr().err
    assert report.to_json() == {"matched": 4, "missing": [], "unexpected": [], "reshaped": []}
    assert sha256(tmp_path / "w.safetensors") == sha256(tmp_path / "v.safetensors")
    assert read_meta(tmp_path / "w.safetensors") == {"a": [2], "b": 1}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop("1.bias"), "missing: 1.bias"),
        (lambda t: t.update({"2.bias": torch.zeros(1)}), "unexpected: 2.bias"),
        (lambda t: t.update({"0.bias": torch.zeros(7)}), "of another shape: 0.bias"),
    ],
)
def test_a_misfit_is_refused_by_name_and_changes_nothing(tmp_path, change, named):
    tensors = {k: v + 1 for k, v in net().state_dict().items()}
    change(tensors)
    save_weights(tmp_path / "w.safetensors", tensors, {})
    target = net()
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with pytest.raises(CairnError, match=named):
        load_weights(tmp_path / "w.safetensors", target)
    assert all(torch.equal(v, target.state_dict()[k]) for k, v in before.items())


def test_damaged_missing_and_foreign_files_are_clear_errors(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(CairnError, match="no such file"):
        read_tensors(path)
    save_weights(path, net().state_dict(), {})
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CairnError, match="damaged"):
        read_tensors(path)
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(CairnError, match="not a readable safetensors"):
        read_meta(path)
