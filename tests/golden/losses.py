"""Pretrains a hundred steps with every objective, in made-up sessions; prints nothing, writes losses by name."""

import json
import sys
from pathlib import Path

import torch
from latents import SECTIONS
from learning import NETWORK, run_pretrain
from made import make_set
from radiology import CURIA, CURIA_2, NETWORK_2D, make_heads

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
RECORDS = {"loss": "loss", "val": "val_loss", "feature_std": "feature_std", "effective_rank": "effective_rank"}


def main(folder: Path, out: Path) -> None:
    torch.set_num_threads(1)
    heads, slices = make_set(folder / "3d", "classification", 24).index, make_heads(folder / "2d", 24)
    found = {}
    for name, section in {**VOLUMES, **SLICES}.items():
        network, index = (NETWORK_2D, slices) if name in SLICES else (NETWORK, heads)
        (folder / name).mkdir()
        run_pretrain(
            folder / name, index, network=network, objective=section,
            steps=100, batch_size=4, warmup_steps=10, log_every=1, validate_every=25, state_every=100,
        )  # fmt: skip
        records = [json.loads(line) for line in (folder / name / "history.jsonl").read_text().splitlines()]
        numbers = {kept: [r[key] for r in records if key in r] for kept, key in RECORDS.items()}
        found[name] = {"kind": section["kind"], **numbers}
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
