"""A tiny finished experiment around one head: its session preprocessed, a model a kind, and the pipeline's answers."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
sys.path.insert(0, str(Path(__file__).parents[1] / "preprocess"))

from made import make_set, write_set
from made_wheel import make_wheel
from phantom_head import pose, write_head

from cairn.baselines.dispatch import finetune
from cairn.config.preprocess import PreprocessConfig
from cairn.io.atomic import sha256, write_json
from cairn.io.nifti import write_scan
from cairn.io.tables import PREDICTION_COLUMNS, read_table
from cairn.nets.models import build_model
from cairn.nets.weights import save_weights
from cairn.predict.run import PredictJob, predict
from cairn.preprocess.resources import Resources
from cairn.preprocess.session import preprocess_session

NETWORK = {"channels": [4, 8, 12], "blocks": [0, 1, 1], "stem_stride": 2}
SETTINGS = {"grid": {"spacing_mm": 4.0}}
SEQUENCES = ("FLAIR", "DWI", "T2w")
TASKS = {
    "sick": {"kind": "classification", "required": ["FLAIR", "DWI"], "optional": ["T2w"]},
    "lesion": {"kind": "segmentation", "required": ["FLAIR", "DWI"], "mask_sequence": "FLAIR"},
    "age": {"kind": "regression", "required": ["DWI"], "any_of": [["T2w", "FLAIR"]]},
    "decade": {"kind": "probe", "required": ["FLAIR"], "classes": ["young", "old"], "edges": [50]},
}
FACTS = {"classification": {"positive_weight": 3.0}, "segmentation": {"prior": 0.5},
         "regression": {"mean": 50.0, "std": 10.0}}  # fmt: skip
FLAGS = {"FLAIR": "flair", "DWI": "dwi", "T2w": "t2"}


@dataclass(frozen=True)
class Study:
    """Where it lies: the folder of results, and the raw scans by sequence."""

    results: Path
    scans: dict[str, Path]

    def model(self, run: str, task: str) -> Path:
        """A model; it is made, and asked about the session as the pipeline asks, when first wanted."""
        path = self.results / "finetune" / run / task / "seed-0/model.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True)
            job = (_trained if run == "classical" or task == "decade" else _untrained)(self, path, run, task)
            root = self.results.parents[1]
            index = self.results / "preprocess/set/0000.index.tsv"
            card = {"format": 2, "config": job, "inputs": {index.relative_to(root).as_posix(): ""}}
            outputs = {path.relative_to(root).as_posix(): sha256(path)}
            write_json(path.with_name("run.json"), card | {"outputs": outputs})
            asked = {k: v for k, v in job.items() if k in PredictJob.model_fields}
            predict(asked, [index], path, self.answers(run, task) / "predictions.tsv", 1)
        return path

    def answers(self, run: str, task: str) -> Path:
        """Folder of the pipeline's answers."""
        return self.results / "predict" / run / task / "seed-0"

    def row(self, run: str, task: str) -> dict[str, str]:
        """The pipeline's answer about the session."""
        self.model(run, task)
        (row,) = read_table(self.answers(run, task) / "predictions.tsv", PREDICTION_COLUMNS)
        assert row["status"] == "ok"
        return row

    def arguments(self, *sequences: str) -> list[str]:
        """Of the command line, for these scans."""
        return [part for name in sequences for part in (f"--{FLAGS[name]}", str(self.scans[name]))]


def make_study(folder: Path) -> Study:
    """The head's scans, stripped so that no network is needed; one session of them; no model yet."""
    raw, results = folder / "raw", folder / "results/tiny"
    moved = {"DWI": pose((-1.0, 2.5, -2.0), (-2.5, 1.0, 2.0)), "FLAIR": None, "T2w": pose((1.0, 0.5, 0), (1.0, 0, 1.0))}
    raw.mkdir(parents=True)
    scans = {}
    for seed, name in enumerate(SEQUENCES):
        path = write_head(raw, name, moved[name], flip=(1,) if name == "FLAIR" else (), seed=seed)
        image, mask = nib.load(path), nib.load(raw / f"{name}_mask.nii.gz")
        stripped = np.where(np.asarray(mask.dataobj) > 0, np.asarray(image.dataobj), 0).astype(np.int16)
        write_scan(path, stripped, image.affine)
        scans[name] = path
    packages = folder / "results/resources/packages"
    packages.mkdir(parents=True)
    make_wheel(packages / "deepbet.whl")
    config = PreprocessConfig.model_validate(SETTINGS)
    made = preprocess_session(scans, config, Resources(packages), "0007", "1")
    shards = results / "preprocess/set"
    shards.mkdir(parents=True)
    write_set(shards, "0000", [made.session])
    job = config.model_dump(mode="json", exclude={"max_bad_share", "unknown_sequences"})
    write_json(shards / "0000.run.json", {"format": 2, "config": job, "inputs": {}, "outputs": {}})
    return Study(results, scans)


def _job(run: str, task: str) -> dict[str, object]:
    job: dict[str, object] = {"run": run, "method": run, "task": {"name": task, **TASKS[task]}, "seed": 5}
    return job if run == "classical" else {**job, "network": NETWORK, "device": "cpu"}


def _untrained(study: Study, path: Path, run: str, task: str) -> dict[str, object]:
    job = _job(run, task)
    parsed = PredictJob(**job)
    dense = parsed.task.kind == "segmentation"
    model = build_model(parsed.network, dense, seed=4)
    meta = {
        "kind": "model", "method": run, "task": parsed.task.model_dump(mode="json"), "step": 3,
        "network": parsed.network.model_dump(mode="json"), "facts": FACTS[parsed.task.kind],
        "box": [16, 16, 16], "patch": [32, 32, 32] if dense else None,
    }  # fmt: skip
    save_weights(path, model.state_dict(), meta)
    return job


def _trained(study: Study, path: Path, run: str, task: str) -> dict[str, object]:
    kind = {"decade": "regression", "age": "regression"}.get(task, TASKS[task]["kind"])
    names = [n for n in SEQUENCES if n in json.dumps(TASKS[task])]
    made = make_set(study.results.parents[1] / "learnt" / run / task, kind, 10, sequences=names)
    job = _job(run, task)
    recipe = {"probe": {"epochs": 2}} if task == "decade" else {}
    finetune(job | recipe, [made.index], made.labels, [], path.parent / "state", path, path.with_name("h"), 1, "code")
    return job
