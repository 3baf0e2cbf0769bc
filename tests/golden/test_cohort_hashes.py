"""Guards the embedded cohort's bytes: a role that is added changes no scan, mask or table of the roles before it."""

import hashlib
import json
import sys
from pathlib import Path

import pytest

from cairn.cohort.donor import save_donor
from cairn.cohort.shard import make_shard
from cairn.config.cohort import CohortConfig, CohortSet

HASHES = json.loads(Path(__file__).with_name("cohort_hashes.json").read_text())
SETS = {
    "pretrain": {"subjects": 2, "split": "pretrain", "sites": ("P1", "A1")},
    "infarct": {"positives": 1, "negatives": 1, "split": "finetune", "sites": ("A1",)},
    "meningioma": {"subjects": 1, "split": "test", "sites": ("B",)},
    "age": {"subjects": 2, "split": "test", "sites": ("C",)},
}


@pytest.mark.parametrize("role", sorted(HASHES))
def test_bytes_are_those_of_before(role, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "unit" / "cohort"))
    sys.modules.pop("conftest", None)
    from conftest import ball_head

    names = ("ball", "egg", "pear")
    config = CohortConfig(
        voxel_mm=3.0, donor_mm=3.0, coarsen=3.0, donors={n: {"package": "heads", "image": n} for n in names},
        packages={"heads": {"version": "1", "sha256": "0" * 64, "archive": "whl", "role": "test", "licence": "none"}},
        donor_groups={"train": ("ball",), "indomain": ("egg",), "test": ("pear",)},
    )  # fmt: skip
    (tmp_path / "donors").mkdir()
    donors = [tmp_path / "donors" / f"{name}.safetensors" for name in names]
    for path in donors:
        save_donor(path, ball_head(path.stem))
    out = tmp_path / role
    make_shard(config, role, CohortSet(role=role, **SETS[role]), 0, 1, donors, out / "raw", out / "truth")
    digest = hashlib.sha256()
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        digest.update(path.relative_to(tmp_path).as_posix().encode())
        digest.update(path.read_bytes())
    assert digest.hexdigest() == HASHES[role]
