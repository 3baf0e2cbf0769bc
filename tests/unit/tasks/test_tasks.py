"""Guards the kinds of task: losses against plain references, validation metrics, what they refuse."""

import math

import numpy as np
import pytest
import torch
from made import make_set

from cairn.config import parse
from cairn.config.tasks import TaskInputs
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.tasks.cases import Label, make_case
from cairn.tasks.registry import build_task
from cairn.tasks.targets import auroc, dice

BASE = {"required": ["FLAIR", "DWI"]}
CLASSIFICATION = TaskInputs(kind="classification", **BASE)
SEGMENTATION = TaskInputs(kind="segmentation", mask_sequence="FLAIR", **BASE)
REGRESSION = TaskInputs(kind="regression", **BASE)


def arrays(*values):
    return [np.asarray(v, np.float32) for v in values]


def test_classes_count_alike_in_the_loss():
    task = build_task(CLASSIFICATION)
    task.fit(arrays(1, 0, 0, 0))
    logits, target = torch.tensor([0.3, -1.0, 2.0]), torch.tensor([1.0, 0.0, 0.0])
    p = torch.sigmoid(logits)
    expected = (-3 * torch.log(p[0]) - torch.log(1 - p[1]) - torch.log(1 - p[2])) / 3
    torch.testing.assert_close(task.loss(logits, target), expected)


def test_dice_plus_cross_entropy_is_monais():
    from monai.losses import DiceLoss

    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 6, 6, generator=rng)
    target = (torch.rand(2, 6, 6, 6, generator=rng) > 0.8).float()
    task = build_task(SEGMENTATION)
    oracle = DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)(logits[:, None], target[:, None])
    cross = -(target * torch.nn.functional.logsigmoid(logits) + (1 - target) * torch.nn.functional.logsigmoid(-logits))
    torch.testing.assert_close(task.loss(logits, target), oracle + cross.mean())


def test_years_are_standardised_by_the_training_cases_and_come_back():
    task = build_task(REGRESSION)
    task.fit(arrays(30, 50, 70))
    deviation = math.sqrt(800 / 3)
    assert task.facts == {"mean": 50.0, "std": pytest.approx(deviation)}
    torch.testing.assert_close(task.predict(torch.tensor([0.0, 1.0])), torch.tensor([50.0, 50.0 + deviation]))
    perfect = (torch.tensor([30.0, 64.5]) - 50) / deviation
    assert float(task.loss(perfect, torch.tensor([30.0, 64.5]))) == 0.0


def test_validation_metrics():
    assert build_task(CLASSIFICATION).score(arrays(0.2, 0.9, 0.4), arrays(0, 1, 1)) == 1.0
    assert auroc(np.array([0.5, 0.5, 0.1, 0.9]), np.array([1, 0, 0, 1])) == 0.875
    assert math.isnan(auroc(np.array([0.5]), np.array([1])))
    assert build_task(REGRESSION).score(arrays(40, 52.5), arrays(42, 50)) == pytest.approx(-2.25)
    empty, one = np.zeros((2, 2, 2), bool), np.eye(2, dtype=bool)[None]
    assert dice(empty, empty) == 1.0
    assert dice(one, ~one) == 0.0
    half = np.where(one, 0.6, 0.1)
    assert build_task(SEGMENTATION).score([half], [one]) == 1.0


def test_an_untrained_segmentation_answers_the_share_of_lesion():
    task = build_task(SEGMENTATION)
    mask = np.zeros((10, 10, 10))
    mask[0, 0, :10] = 1
    task.fit([mask])
    assert float(torch.sigmoid(torch.tensor(task.prior_logits[0]))) == pytest.approx(0.01)
    with pytest.raises(CairnError, match="lesion"):
        build_task(SEGMENTATION).fit([np.zeros((4, 4, 4))])


def test_labels_that_do_not_suit_are_refused(tmp_path):
    (session,) = open_sessions([make_set(tmp_path, "segmentation", 1).index])
    case = make_case(SEGMENTATION, session)
    with pytest.raises(CairnError, match="neither 0 nor 1"):
        build_task(CLASSIFICATION).target(case, Label(2.0, None, "n/a"))
    with pytest.raises(CairnError, match="no number"):
        build_task(REGRESSION).target(case, Label(float("nan"), None, "n/a"))
    with pytest.raises(CairnError, match="is a mask"):
        build_task(SEGMENTATION).target(case, Label(1.0, None, "n/a"))
    mask = next(tmp_path.glob("mask*"))
    with pytest.raises(CairnError, match="not that of the DWI scan"):
        build_task(SEGMENTATION).target(case, Label(1.0, mask, "DWI"))
    with pytest.raises(CairnError, match="lacks"):
        build_task(SEGMENTATION).target(case, Label(1.0, mask, "T1w"))


def test_a_native_mask_lands_on_the_lesion(tmp_path):
    made = make_set(tmp_path, "segmentation", 1)
    (session,) = open_sessions([made.index])
    label = Label(float("nan"), next(tmp_path.glob("mask*")), "FLAIR")
    target = build_task(SEGMENTATION).target(make_case(SEGMENTATION, session), label)
    assert dice(target > 0, made.truth["0000/1"]) > 0.8


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "classification"},
        {"kind": "segmentation", "required": ["FLAIR"]},
        {"kind": "segmentation", "required": ["FLAIR"], "mask_sequence": "DWI"},
        {"kind": "regression", "required": ["T1w"], "mask_sequence": "T1w"},
        {"kind": "regression", "required": ["T1w"], "any_of": [["T2w", "T1w"]]},
        {"kind": "regression", "required": ["T1w"], "any_of": [[]]},
    ],
)
def test_inconsistent_sections_are_refused(bad):
    with pytest.raises(CairnError):
        parse(TaskInputs, bad)
