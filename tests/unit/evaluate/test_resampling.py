"""Guards the bootstrap: paired resamples, subjects as units."""

import numpy as np
import pytest

from cairn.evaluate.cases import Case
from cairn.evaluate.resampling import metric_values, resample_counts
from cairn.evaluate.tables import as_arrays


def test_resamples_depend_on_task_cohort_and_seed_and_nothing_else():
    subjects = [f"{i}" for i in range(9)]
    first = resample_counts(subjects, 50, "infarct", "test", 1)
    assert (first == resample_counts(subjects, 50, "infarct", "test", 1)).all()
    assert (first.sum(axis=1) == 9).all()
    for key in [("age", "test", 1), ("infarct", "other", 1), ("infarct", "test", 2)]:
        assert (first != resample_counts(subjects, 50, *key)).any()
    assert (first[:10] == resample_counts(subjects, 10, "infarct", "test", 1)).all()


def test_sessions_of_a_subject_are_drawn_together():
    counts = resample_counts(["a", "a", "b", "c"], 100, "t", "c", 1)
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_metrics_of_resamples_equal_the_plain_metric_of_the_drawn_cases():
    rng = np.random.default_rng(0)
    make = [Case(f"{i}", "1", "ok", label=float(i % 2), prediction=float(p)) for i, p in enumerate(rng.random(10))]
    cases = as_arrays("test", {0: make})
    counts = resample_counts(cases.subjects, 20, "t", "c", 1)
    values = metric_values("mae", cases, counts, cap=np.inf)
    error = np.abs(cases.prediction[0] - cases.label)
    assert values.shape == (1, 20)
    assert values[0] == pytest.approx([np.repeat(error, row).mean() for row in counts])
