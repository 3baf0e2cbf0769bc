"""Logistic and ridge regression on a session's features; the penalty is chosen by cross-validation over subjects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.baselines.features import feature_names, session_features
from cairn.config.tasks import TaskInputs
from cairn.errors import CairnError
from cairn.tasks.cases import Case

Array = npt.NDArray[Any]
STRENGTHS = tuple(float(s) for s in np.logspace(-4, 1, 6))
FOLDS = 5
PENALTY_OF = {"classification": "logisticregression__C", "regression": "ridge__alpha"}


def fit_tabular(
    task: TaskInputs, cases: Sequence[Case], targets: Array, seed: int
) -> tuple[dict[str, Array], dict[str, Any], list[dict[str, Any]]]:
    """Fit the model of a classification or regression.

    Args:
        task: its section.
        cases: training cases.
        targets: ``[N]``, 0/1 or years.
        seed: shuffles the folds.

    Returns:
        Arrays (``coefficient``, ``intercept``, ``mean``, ``scale``), what the model must remember, and the score of
        each penalty.

    Raises:
        CairnError: when a classification's training set holds one class only, or a regression's one value.
    """
    features = np.stack([session_features(task, case) for case in cases])
    subjects = [case.session.subject for case in cases]
    arrays, facts, records = fit_features(task.kind, features, targets, subjects, seed)
    return arrays, {"features": feature_names(task), **facts}, records


def fit_features(
    kind: str, features_NF: Array, targets_N: Array, subjects: Sequence[str], seed: int
) -> tuple[dict[str, Array], dict[str, Any], list[dict[str, Any]]]:
    """Fit to features as `session_features` gives them; see `fit_tabular`."""
    from sklearn.model_selection import GridSearchCV

    if len(np.unique(targets_N)) < 2:
        raise CairnError("Every training case has the same label.", "Add others.", code="one-class")
    folds, scoring = _folds(kind, targets_N, subjects, seed)
    parameter = PENALTY_OF[kind]
    penalties = [s if kind == "classification" else 1 / s for s in STRENGTHS]
    search = GridSearchCV(_pipeline(kind), {parameter: penalties}, scoring=scoring, cv=folds, refit=False)
    search.fit(features_NF, targets_N, groups=subjects)
    penalty = float(search.best_params_[parameter])
    results = zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True)
    records = [{"step": i, "penalty": float(p[parameter]), scoring: float(s)} for i, (p, s) in enumerate(results)]
    return fit_fixed(kind, features_NF, targets_N, penalty), {"penalty": penalty}, records


def fit_fixed(kind: str, features_NF: Array, targets_N: Array, penalty: float) -> dict[str, Array]:
    """Arrays of the model with this penalty (C of a logistic, alpha of a ridge regression)."""
    pipeline = _pipeline(kind).set_params(**{PENALTY_OF[kind]: penalty}).fit(features_NF, targets_N)
    scaler, model = (step for _, step in pipeline.steps)
    arrays = {
        "coefficient": np.ravel(model.coef_), "intercept": np.ravel(model.intercept_),
        "mean": scaler.mean_, "scale": scaler.scale_,
    }  # fmt: skip
    return {k: np.asarray(v, np.float64) for k, v in arrays.items()}


def _pipeline(kind: str) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    logistic = kind == "classification"
    model = LogisticRegression(class_weight="balanced", max_iter=2000) if logistic else Ridge()
    return make_pipeline(StandardScaler(), model)


def _folds(kind: str, targets: Array, subjects: Sequence[str], seed: int) -> tuple[Any, str]:
    """How the penalty is cross-validated, and the score that it is chosen by."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    if kind == "classification":
        smallest = min(len({s for s, t in zip(subjects, targets, strict=True) if t == c}) for c in (0, 1))
        folds = StratifiedGroupKFold(max(2, min(FOLDS, smallest)), shuffle=True, random_state=seed % 2**32)
        return folds, "neg_log_loss"
    folds = GroupKFold(max(2, min(FOLDS, len(set(subjects)))), shuffle=True, random_state=seed % 2**32)
    return folds, "neg_mean_absolute_error"


def apply_tabular(task: TaskInputs, arrays: dict[str, Array], case: Case) -> Array:
    """Probability of label 1, or years."""
    return np.asarray(apply_features(task.kind, arrays, session_features(task, case)))


def apply_features(kind: str, arrays: dict[str, Array], features: Array) -> Array:
    """Probability of label 1, or years, of features ``[..., F]``."""
    standard = (features - arrays["mean"]) / arrays["scale"]
    linear = standard @ arrays["coefficient"] + arrays["intercept"][0]
    return np.asarray(1 / (1 + np.exp(-linear)) if kind == "classification" else linear)
