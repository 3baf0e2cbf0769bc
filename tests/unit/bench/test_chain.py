"""Guards the whole way on made-up heads: shards, items, features of the pixels, head, predictions, scores."""

import numpy as np
import pytest
from made_items import STRUCTURES, make_radiology

from cairn.bench.embed import embed_items
from cairn.bench.features import Features
from cairn.bench.fit import fit_head
from cairn.bench.items_from_shards import make_items
from cairn.bench.predict import predict_head
from cairn.bench.targets import item_targets
from cairn.config.bench import (
    BenchTarget,
    BenchTask,
    EmbedJob,
    FrozenConfig,
    HeadJob,
    ItemForm,
    ItemsJob,
    TargetsJob,
)
from cairn.config.evaluate import EvaluateConfig, EvaluateJob
from cairn.evaluate.scores import evaluate
from cairn.evaluate.tables import read_scores

EMBED = EmbedJob(
    run="pixels", network={"kind": "pixels", "image_size": 24, "patch_size": 4}, contract={"size_px": 24}, device="cpu"
)
ORGANS = {"mask": "structures", "structures": STRUCTURES}
CT = ItemForm(kind="structures", sequence="CT", **ORGANS)
MRI = ItemForm(kind="structures", sequence="T1w", **ORGANS)
BLEED = ItemForm(kind="finding", sequence="CT", mask="lesion")
PROBE = {"kind": "probe", "key": "structure", "classes": STRUCTURES}


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    return make_radiology(folder / "train", 16), make_radiology(folder / "test", 10, first=100)


def score(folder, heads, task):
    """Every metric of a task, mean over seeds."""
    frozen, parts = task.frozen, {}
    for name, (shard, truth), form in zip("ab", heads, (frozen.train_items or frozen.items, frozen.items), strict=True):
        items, known, targets = (folder / f"{name}{end}" for end in (".parquet", ".json", ".tsv"))
        make_items(ItemsJob(dataset=name, form=form), [shard], [truth], items, known, folder / f"{name}.pairs.tsv")
        asked = BenchTarget(kind=task.kind, key=task.key, classes=task.classes)
        item_targets(TargetsJob(task=asked, form=form), known, targets)
        embed_items(EMBED, {"form": items}, [], folder / f"{name}.safetensors", 1)
        parts[name] = Features(folder / f"{name}.safetensors", "form"), targets
    job = HeadJob(run="pixels", task=task)
    fit_head(job, *parts["a"], folder / "head.safetensors")
    predict_head(job, parts["b"][0], folder / "head.safetensors", folder / "predictions.tsv")
    reference = {"name": task.name, "kind": task.kind, "classes": task.classes if task.kind == "probe" else ()}
    scoring = EvaluateJob(run="p", task=reference, seeds=(0,), evaluate=EvaluateConfig(resamples=50, permutations=0))
    evaluate(scoring, parts["b"][1], [folder / "predictions.tsv"], folder / "cases.tsv", folder / "scores.parquet")
    return {r["metric"]: r["value"] for r in read_scores(folder / "scores.parquet") if r["seed"] == -1}


def test_structures_are_told_on_mri_and_worse_by_a_head_that_learned_on_ct(tmp_path, heads):
    """Pixels know nothing of modality: CT's air lies far below its tissue, and a head on them must drop."""
    found = {}
    for name, train in {"MRI": None, "CT": CT}.items():
        (tmp_path / name).mkdir()
        frozen = FrozenConfig(items=MRI, train_items=train, input="mask")
        found[name] = score(tmp_path / name, heads, BenchTask(name="organs", frozen=frozen, **PROBE))["auroc_ovr"]
    assert found["MRI"] > 0.8
    assert found["CT"] < found["MRI"] - 0.2


def test_a_lesion_is_told_and_chance_is_not(tmp_path, heads):
    kind = {"kind": "classification", "frozen": FrozenConfig(items=BLEED)}
    assert score(tmp_path, heads, BenchTask(name="bleed", key="lesion", **kind))["auroc"] > 0.9
    chance = score(tmp_path, heads, BenchTask(name="noise", key="atrophy", **kind))["auroc"]
    assert 0.1 < chance < 0.9
    assert np.isfinite(chance)
