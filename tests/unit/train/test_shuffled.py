"""Guards the training of networks against test labels: fine-tuned on permuted labels, it scores as chance does.

The canary of the workflow refits the plain baseline alone (`cairn.evaluate.canary`). Here networks go their own way,
from labels to predictions, without complements, whose mean would be 0.5 whatever a linear model has seen.
"""

from dataclasses import replace

import numpy as np
import pytest
from learning import finetune_job, run_finetune
from made import make_set

from cairn.evaluate.canary import canary_interval
from cairn.evaluate.metrics import auroc
from cairn.io.tables import LABEL_COLUMNS, PREDICTION_COLUMNS, read_table, write_table
from cairn.predict.run import predict

FITS = 16
RECIPE = {"steps": 30, "validate_every": 10, "learning_rate": 0.01, "state_every": 30}

pytestmark = pytest.mark.slow


def values(table):
    return np.array([float(row["value"]) for row in read_table(table)])


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shuffled")
    return make_set(folder / "train", "classification", 14), make_set(folder / "test", "classification", 24, first=100)


def score(sets, folder, labels, seed):
    """AUROC on the test of a network that was fine-tuned on these labels of the training set."""
    train, test = sets
    folder.mkdir()
    rows = read_table(train.labels, LABEL_COLUMNS)
    told = [row | {"value": int(label)} for row, label in zip(rows, labels, strict=True)]
    write_table(folder / "labels.tsv", told, LABEL_COLUMNS)
    job = finetune_job("classification", seed=seed, **RECIPE)
    run_finetune(folder, replace(train, labels=folder / "labels.tsv"), job)
    asked = {key: job[key] for key in ("run", "method", "task", "network", "seed", "device")}
    predict(asked, [test.index], folder / "model.safetensors", folder / "predictions.tsv", 1)
    predicted = read_table(folder / "predictions.tsv", PREDICTION_COLUMNS)
    assert [row["subject"] for row in predicted] == [row["subject"] for row in read_table(test.labels)]
    return auroc(values(test.labels), values(folder / "predictions.tsv"))


def test_networks_learn_nothing_of_the_test_from_permuted_labels(sets, tmp_path):
    true = values(sets[0].labels)
    assert score(sets, tmp_path / "true", true, 1) > 0.8, "what can be learned is: a score near 0.5 says something"
    rng = np.random.default_rng(7)
    balanced = [rng.permutation(true) for _ in range(FITS)]
    found = np.array([score(sets, tmp_path / f"{n}", labels, n) for n, labels in enumerate(balanced)])
    low, high = canary_interval(found[:, None])
    assert low <= 0.5 <= high, found
    assert high - low < 0.9, "an interval of everything covers 0.5 too"
