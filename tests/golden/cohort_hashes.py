"""Makes a small shard of every role of the cohort from made-up heads; writes the hash of its files by role."""

import hashlib
import json
import sys
from pathlib import Path

from cairn.cohort.donor import save_donor
from cairn.cohort.shard import make_shard
from cairn.config.cohort import CohortConfig, CohortSet
from conftest import ball_head

SETS = {
    "pretrain": {"subjects": 2, "split": "pretrain", "sites": ("P1", "A1")},
    "infarct": {"positives": 1, "negatives": 1, "split": "finetune", "sites": ("A1",)},
    "meningioma": {"subjects": 1, "split": "test", "sites": ("B",)},
    "age": {"subjects": 2, "split": "test", "sites": ("C",)},
}
NAMES = ("ball", "egg", "pear")


def main(folder: Path, out: Path) -> None:
    config = CohortConfig(
        voxel_mm=3.0, donor_mm=3.0, coarsen=3.0, donors={n: {"package": "heads", "image": n} for n in NAMES},
        packages={"heads": {"version": "1", "sha256": "0" * 64, "archive": "whl", "role": "test", "licence": "none"}},
        donor_groups={"train": ("ball",), "indomain": ("egg",), "test": ("pear",)},
    )  # fmt: skip
    (folder / "donors").mkdir()
    donors = [folder / "donors" / f"{name}.safetensors" for name in NAMES]
    for path in donors:
        save_donor(path, ball_head(path.stem))
    found = {}
    for role, of in SETS.items():
        made = folder / role
        make_shard(config, role, CohortSet(role=role, **of), 0, 1, donors, made / "raw", made / "truth")
        digest = hashlib.sha256()
        for path in sorted(p for p in made.rglob("*") if p.is_file()):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
        found[role] = digest.hexdigest()
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
