"""Guards the numbers of pretraining: a hundred losses of every objective, exact on the CPU that they were taken on.

Another CPU may round sums differently, so full precision is asked for only where the golden file was made; elsewhere
to 1e-4. The collapse watch is on: no objective trips it. After an intended change:
CAIRN_GOLDEN=write python -m pytest tests/golden, and say why in the commit.
"""

import json
import os
from pathlib import Path

import pytest
import torch
from latents import SECTIONS
from learning import NETWORK, run_pretrain
from made import make_set
from radiology import CURIA, CURIA_2, NETWORK_2D, make_heads

from cairn.ssl.registry import OBJECTIVES

FOLDER = Path(__file__).with_name("losses")
SMALLER = {kind: section for kind, section in SECTIONS.items() if kind != "mae"} | {
    "mae": {},
    "dino": {**SECTIONS["dino"], "local_crops": 1},
    "moco": {"projector": [32, 16], "queue": 64},
    "simclr": {"projector": [32, 16]},
    "vicreg": {"expander": [32, 32, 16]},
    "voco": {"projector": [32, 16], "grid": [2, 2, 1]},
}
PLAIN = dict.fromkeys(("noise", "blur", "bias", "gamma", "contrast", "low_resolution", "gibbs", "ghosting"), 0)
NAMED = {
    **SMALLER,
    "mae_plain": {"kind": "mae", "mask_ratio": 0.75, "mask_unit_voxels": 8, "loss_on": "masked", "intensity": PLAIN},
}
"""By the name of the golden file: that of the kind, and plain MAE as the studies' rows have it."""
VOLUMES = {name: {"kind": name, "patch_voxels": [16, 16, 16], **section} for name, section in NAMED.items()}
SLICES = {"curia": {**CURIA, "local_crops": 1}, "curia-2": {**CURIA_2, "local_crops": 1}}
SHARPENED = {"dino", *SLICES}
"""Their target moves, and sharpens: the loss may rise."""


def cpu() -> str:
    return f"torch {torch.__version__.split('+')[0]} {torch.backends.cpu.get_cpu_capability()}"


@pytest.fixture(scope="module")
def indexes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    return make_set(folder / "3d", "classification", 24).index, make_heads(folder / "2d", 24)


def test_every_objective_has_its_losses():
    assert {section["kind"] for section in (*VOLUMES.values(), *SLICES.values())} == set(OBJECTIVES)
    assert {*VOLUMES, *SLICES} == {path.stem for path in FOLDER.glob("*.json")}


@pytest.mark.parametrize("name", sorted({*VOLUMES, *SLICES}))
def test_losses(indexes, tmp_path, name):
    torch.set_num_threads(1)
    section, network, index = (
        (SLICES[name], NETWORK_2D, indexes[1]) if name in SLICES else (VOLUMES[name], NETWORK, indexes[0])
    )
    run_pretrain(
        tmp_path, index, network=network, objective=section,
        steps=100, batch_size=4, warmup_steps=10, log_every=1, validate_every=25, state_every=100,
    )  # fmt: skip
    records = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    names = {"loss": "loss", "val": "val_loss", "feature_std": "feature_std", "effective_rank": "effective_rank"}
    found = {kept: [r[key] for r in records if key in r] for kept, key in names.items()}
    path = FOLDER / f"{name}.json"
    if os.environ.get("CAIRN_GOLDEN") == "write":
        path.write_text(json.dumps({"cpu": cpu(), **found}, indent=1) + "\n")
    golden = json.loads(path.read_text())
    assert {kept: len(values) for kept, values in found.items()} == {k: 100 if k == "loss" else 4 for k in names}
    if name not in SHARPENED:
        assert sum(found["loss"][-20:]) < sum(found["loss"][10:30])  # past the warm-up; a queue must fill first
    for kept, values in found.items():
        if cpu() == golden["cpu"]:
            assert values == golden[kept]
        assert values == pytest.approx(golden[kept], rel=1e-4)
