"""Survival on frozen features: Cox's partial likelihood with a ridge."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
NEWTON_STEPS = 50
TOLERANCE = 1e-9


def fit_cox(x_ND: Floats, time: Floats, event: Floats, ridge: float) -> Floats:
    """Weights ``[D]`` that minimise the mean negative log partial likelihood (Breslow's ties) plus ridge / 2 |w|^2.

    Newton's method on the features' singular vectors: exact for a ridge, and of the size of the cases, not of the
    features.

    Args:
        x_ND: centred features.
        time: ``[N]``.
        event: ``[N]``, at least one 1.
        ridge: above 0.
    """
    u, s, v = np.linalg.svd(x_ND, full_matrices=False)
    kept = s > 1e-10 * max(1e-300, float(s[0]))
    z, v = u[:, kept] * s[kept], v[kept]
    dying = np.flatnonzero(event == 1)
    at_risk = time[None] >= time[dying][:, None]
    weights = np.zeros(z.shape[1])
    value = _loss(z, weights, dying, at_risk, ridge)
    for _ in range(NEWTON_STEPS):
        slope, curve = _derivatives(z, weights, dying, at_risk, ridge)
        step = np.linalg.solve(curve, slope)
        length = 1.0
        while length > 1e-6:
            trial = weights - length * step
            found = _loss(z, trial, dying, at_risk, ridge)
            if found <= value:
                break
            length /= 2
        gain, weights, value = value - found, trial, found
        if gain < TOLERANCE:
            break
    return np.asarray(weights @ v)


def partial_loss(risk: Floats, time: Floats, event: Floats) -> float:
    """Mean negative log partial likelihood of given risks; infinite without an event."""
    dying = np.flatnonzero(event == 1)
    if not len(dying):
        return float("inf")
    return _loss(risk[:, None], np.ones(1), dying, time[None] >= time[dying][:, None], 0.0)


def _loss(z: Floats, weights: Floats, dying: npt.NDArray[Any], at_risk: npt.NDArray[Any], ridge: float) -> float:
    risk = z @ weights
    masked = np.where(at_risk, risk[None], -np.inf)
    top = masked.max(axis=1)
    total = top + np.log(np.exp(masked - top[:, None]).sum(axis=1))
    return float((total - risk[dying]).mean() + 0.5 * ridge * weights @ weights)


def _derivatives(
    z: Floats, weights: Floats, dying: npt.NDArray[Any], at_risk: npt.NDArray[Any], ridge: float
) -> tuple[Floats, Floats]:
    """Gradient and Hessian of `_loss`."""
    masked = np.where(at_risk, (z @ weights)[None], -np.inf)
    power = np.exp(masked - masked.max(axis=1, keepdims=True))
    share = power / power.sum(axis=1, keepdims=True)
    expected = share @ z
    slope = (expected - z[dying]).mean(axis=0) + ridge * weights
    curve = (z.T * share.sum(axis=0)) @ z - expected.T @ expected
    return slope, curve / len(dying) + ridge * np.eye(z.shape[1])
