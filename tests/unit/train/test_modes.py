"""Guards the modes of fine-tuning and foreign backbones on the whole way: pretrain, fine-tune, predict."""

import pytest
import torch
from learning import NETWORK, finetune_job, run_finetune, run_pretrain
from made import make_set

from cairn.io.atomic import sha256
from cairn.nets.weights import read_tensors
from cairn.predict.run import predict

VIT = {"kind": "vit", "width": 12, "depth": 1, "heads": 2}
SWIN = {"kind": "swin", "width": 6, "depths": [2], "heads": [1], "window": 3}
UNET = {"kind": "unet", "width": 4, "levels": 3}
MEDNEXT = {"kind": "mednext", "width": 4, "blocks": [1, 1, 1], "expansion": [2, 2, 2]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("set"), "segmentation", 6)


def whole_way(folder, made, network, **recipe):
    """Pretrain, fine-tune, predict; returns the facts of the fine-tuning, the encoder's tensors and the model's."""
    folder.mkdir()
    run_pretrain(folder, made.index, network=network, steps=2)
    encoder = folder / "encoder.safetensors"
    job = {**finetune_job("segmentation", "pretrained", **recipe), "network": network}
    facts = run_finetune(folder, made, job, [encoder])
    keys = ("run", "method", "task", "network", "seed", "device")
    predicted = predict({k: job[k] for k in keys}, [made.index], folder / "model.safetensors", folder / "p.tsv", 1)
    assert predicted["sessions"] == 6
    assert not predicted["without_prediction"]
    return facts, read_tensors(encoder), read_tensors(folder / "model.safetensors")


@pytest.mark.parametrize("network", [VIT, SWIN, UNET, MEDNEXT], ids=lambda n: n["kind"])
def test_every_backbone_goes_the_whole_way(tmp_path, made, network):
    whole_way(tmp_path / "run", made, network, steps=2)


def test_modes_change_what_they_say_and_predict_alike(tmp_path, made):
    found = {m: whole_way(tmp_path / m, made, NETWORK, mode=m, lora_rank=2) for m in ("full", "frozen", "lora")}
    for mode, (facts, encoder, model) in found.items():
        changed = {k for k, v in encoder.items() if not torch.equal(v, model[f"encoder.{k}"])}
        assert facts["mode"] == mode
        assert {"full": len(changed) > len(encoder) / 2, "frozen": not changed}.get(
            mode, changed == {k for k, v in encoder.items() if v.ndim > 1}
        )
        assert set(model) == set(found["full"][2])
    full, frozen, lora = (found[m][0]["trained_parameters"] for m in ("full", "frozen", "lora"))
    assert frozen < lora < full == found["full"][0]["parameters"] == found["lora"][0]["parameters"]


def test_adapters_go_on_from_a_state(tmp_path, made, capsys):
    def run(name, *steps):
        (tmp_path / name).mkdir()
        for count in steps:
            job = finetune_job("segmentation", mode="lora", steps=count, state_every=2)
            run_finetune(tmp_path / name, made, job)
        return sha256(tmp_path / name / "model.safetensors")

    at_once = run("at once", 10)
    assert "goes on after step" not in capsys.readouterr().err
    assert run("in two parts", 5, 10) == at_once
    assert "goes on after step" in capsys.readouterr().err
