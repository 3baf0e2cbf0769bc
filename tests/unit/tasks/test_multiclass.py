"""Guards segmentation of several classes: loss against MONAI, masks through all stages, one class as it ever was."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from learning import finetune_job, run_finetune
from made import geometry, make_set

from cairn.config.evaluate import EvaluateConfig, EvaluateJob
from cairn.config.tasks import TaskInputs
from cairn.datasets.labels import gather_labels
from cairn.errors import CairnError
from cairn.evaluate.scores import evaluate
from cairn.evaluate.tables import read_cases, read_scores
from cairn.io.geometry import labels_to_grid, labels_to_native, mask_to_grid, probability_to_native
from cairn.io.nifti import read_label_map, write_scan
from cairn.io.tables import LABEL_COLUMNS, read_table, write_table
from cairn.predict.run import predict
from cairn.tasks.registry import build_task

CLASSES = ["nerve", "vessel"]
TASK = {"name": "segmentation", "kind": "segmentation", "required": ["FLAIR", "DWI"], "mask_sequence": "FLAIR"}
SEVERAL = {**TASK, "classes": CLASSES}
SHAPE = (20, 22, 18)


def section(**more):
    return TaskInputs(**{k: v for k, v in {**SEVERAL, **more}.items() if k != "name"})


def two_class_set(folder, count, first=0):
    """The lesion of `make_set`, its left half labelled 1, its right half 2; label 2 shows brighter on FLAIR."""
    made = make_set(folder, "segmentation", count, first=first, shape=SHAPE)
    for row in read_table(made.labels):
        path = folder / row["mask"]
        image = nib.load(path)
        mask = np.asarray(image.dataobj)
        middle = np.argwhere(mask)[:, 0].mean()
        label = np.where(np.arange(mask.shape[0])[:, None, None] < middle, 1, 2) * (mask > 0)
        write_scan(path, label.astype(np.uint8), image.affine)
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    return two_class_set(folder / "train", 8), two_class_set(folder / "test", 3, first=100)


def test_loss_is_monais_dice_of_every_class_plus_cross_entropy():
    from monai.losses import DiceLoss

    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 6, 7, generator=rng)
    target = torch.randint(0, 3, (2, 5, 6, 7), generator=rng).float()
    oracle = DiceLoss(
        include_background=False, to_onehot_y=True, softmax=True, batch=True, smooth_nr=1.0, smooth_dr=1.0
    )(logits, target[:, None])
    cross = torch.nn.functional.cross_entropy(logits, target.long())
    torch.testing.assert_close(build_task(section()).loss(logits, target), oracle + cross)


def test_an_untrained_head_answers_the_shares_and_an_absent_class_is_named():
    task = build_task(section())
    target = np.zeros((10, 10, 10), np.uint8)
    target[0, 0, :6], target[1, 0, :3] = 1, 2
    task.fit([target])
    shares = torch.softmax(torch.tensor(task.prior_logits), 0)
    assert shares.tolist() == pytest.approx([0.991, 0.006, 0.003])
    with pytest.raises(CairnError, match="'vessel'"):
        build_task(section()).fit([np.minimum(target, 1)])


def test_labels_go_to_the_grid_and_come_back_each_in_its_place():
    g = geometry(SHAPE, ["FLAIR"])
    grid = np.zeros(SHAPE, np.uint8)
    grid[4:10, 6:14, 5:12], grid[10:16, 6:14, 5:12] = 1, 2
    one_hot = np.stack([(grid == k).astype(np.float32) for k in range(3)])
    native = labels_to_native(one_hot, g, "FLAIR")
    assert set(np.unique(native)) == {0, 1, 2}
    back = labels_to_grid(native, g, "FLAIR", 2)
    for k in (1, 2):
        overlap = 2 * ((back == k) & (grid == k)).sum() / ((back == k).sum() + (grid == k).sum())
        assert overlap > 0.8
    corner = labels_to_native(
        np.stack([np.zeros(SHAPE), np.zeros(SHAPE), np.ones(SHAPE)]).astype(np.float32), g, "FLAIR"
    )
    assert corner[0, 0, 0] == 0  # outside the grid there is no class, though all of the grid is


def test_of_one_class_the_way_is_that_of_a_plain_mask():
    g, rng = geometry(SHAPE, ["FLAIR"]), np.random.default_rng(0)
    p = rng.random(SHAPE).astype(np.float32)
    both = labels_to_native(np.stack([1 - p, p]), g, "FLAIR")
    np.testing.assert_array_equal(both, probability_to_native(p, g, "FLAIR") >= 0.5)
    mask = rng.random(g.sequences["FLAIR"].native_shape) > 0.5
    np.testing.assert_array_equal(labels_to_grid(mask, g, "FLAIR", 1), mask_to_grid(mask, g, "FLAIR"))


@pytest.mark.parametrize("method", ["scratch", "classical", "patches"])
def test_from_labels_to_scores_of_every_class(made, tmp_path, method):
    train, test = made
    name, patch = ("scratch", {"patch_voxels": [16, 16, 16]}) if method == "patches" else (method, {})
    job = finetune_job("segmentation", name, steps=60, learning_rate=0.01, validate_every=20, state_every=60, **patch)
    job["task"] = SEVERAL
    run_finetune(tmp_path, train, job)
    records = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert max(r.get("val_score", r.get("dice", 0)) for r in records) > 0.15
    table = tmp_path / "p" / "predictions.tsv"
    predict({k: v for k, v in job.items() if k != "finetune"}, [test.index], tmp_path / "model.safetensors", table, 1)
    found = [read_label_map(table.parent / r["mask"]) for r in read_table(table)]
    assert set(np.unique(found[0])) | set(np.unique(found[1])) <= {0, 1, 2}
    scored = EvaluateJob(
        run="x", task=SEVERAL, seeds=(0,), evaluate=EvaluateConfig(resamples=50, permutations=0)
    )  # fmt: skip
    evaluate(scored, test.labels, [table], tmp_path / "cases.tsv", tmp_path / "scores.parquet")
    cases = read_cases(tmp_path / "cases.tsv")
    np.testing.assert_allclose(cases.dice, (cases.parts["dice_nerve"] + cases.parts["dice_vessel"]) / 2)
    rows = {r["metric"]: r["value"] for r in read_scores(tmp_path / "scores.parquet") if r["seed"] == -1}
    assert set(rows) == {"dice", "nsd", "dice_nerve", "nsd_nerve", "dice_vessel", "nsd_vessel"}
    assert rows["dice"] == pytest.approx((rows["dice_nerve"] + rows["dice_vessel"]) / 2)
    if method != "classical":  # single voxels do not tell left from right
        assert min(rows["dice_nerve"], rows["dice_vessel"]) > 0.2


def test_the_truth_itself_scores_1_and_swapped_labels_0(made, tmp_path):
    from cairn.evaluate.cases import score_cases
    from cairn.io.atomic import sha256
    from cairn.io.tables import PREDICTION_COLUMNS

    _, test = made
    rows = []
    for number, row in enumerate(read_table(test.labels)):
        image = nib.load(test.labels.parent / row["mask"])
        label = np.asarray(image.dataobj)
        said = [label, (3 - label) * (label > 0), label * 3][number]
        write_scan(tmp_path / row["mask"], said.astype(np.uint8), image.affine)
        cells = {"mask": row["mask"], "mask_sha256": sha256(tmp_path / row["mask"]), "status": "ok"}
        rows.append({"subject": row["subject"], "session": "1", **cells})
    write_table(tmp_path / "p.tsv", rows, PREDICTION_COLUMNS)
    right, swapped, beyond = score_cases(test.labels, tmp_path / "p.tsv", "segmentation", EvaluateConfig(), CLASSES)
    assert (right.status, right.dice, right.nsd) == ("ok", 1.0, 1.0)
    assert (swapped.status, swapped.dice) == ("ok", 0.0)
    assert (beyond.status, beyond.dice, beyond.nsd, set(beyond.parts.values())) == ("unknown-label", 0, 0, {0.0})


def test_a_label_beyond_the_classes_is_refused_with_its_file(made, tmp_path):
    train, _ = made
    row = read_table(train.labels)[0]
    image = nib.load(train.labels.parent / row["mask"])
    write_scan(tmp_path / "odd.nii.gz", np.full(image.shape, 3, np.uint8), image.affine)
    write_table(tmp_path / "in.tsv", [{**row, "mask": "odd.nii.gz"}], LABEL_COLUMNS)
    with pytest.raises(CairnError, match=r"odd.nii.gz: label 3 is beyond 2.*'classes'"):
        gather_labels([tmp_path / "in.tsv"], "segmentation", tmp_path / "out.tsv", classes=CLASSES)
    gather_labels([tmp_path / "in.tsv"], "segmentation", tmp_path / "out.tsv")  # of one class any label is inside


@pytest.mark.parametrize(
    "bad", [{"classes": ["one"]}, {"classes": ["a", "a"]}, {"classes": ["Nerve", "b"]}, {"edges": [1.0]}]
)
def test_inconsistent_classes_are_refused(bad):
    with pytest.raises(ValueError, match=r"class|edges|pattern"):
        section(**bad)


def test_a_task_without_classes_is_written_as_before():
    assert "classes" not in TaskInputs(kind="segmentation", required=("T1w",), mask_sequence="T1w").model_dump()
