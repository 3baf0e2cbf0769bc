"""Guards survival: Cox against a plain likelihood and a known hazard."""

import numpy as np
import pytest
from scipy.optimize import minimize

from cairn.bench.survival import fit_cox, partial_loss


def plain_loss(w, x, time, event, ridge):
    losses = [
        np.log(sum(np.exp(x[j] @ w) for j in range(len(x)) if time[j] >= time[i])) - x[i] @ w
        for i in range(len(x)) if event[i] == 1
    ]  # fmt: skip
    return np.mean(losses) + 0.5 * ridge * w @ w


@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_cox_is_the_minimum_of_the_plain_likelihood_also_with_ties_and_more_features_than_cases(ridge):
    rng = np.random.default_rng(3)
    for n, width in ((25, 4), (8, 20)):
        x = rng.normal(size=(n, width))
        x -= x.mean(axis=0)
        time, event = rng.integers(1, 9, n).astype(float), rng.integers(0, 2, n).astype(float)
        event[0] = 1
        found = fit_cox(x, time, event, ridge)
        wanted = minimize(plain_loss, np.zeros(width), (x, time, event, ridge), tol=1e-10).x
        np.testing.assert_allclose(found, wanted, atol=2e-4)
        plain = plain_loss(found, x, time, event, 0)
        assert partial_loss(x @ found, time, event) == pytest.approx(plain, rel=1e-6)


def test_a_known_hazard_is_recovered():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3))
    weights = np.array([1.0, -0.5, 0.0])
    death, censor = rng.exponential(np.exp(-x @ weights)), rng.uniform(0, 4, 2000)
    found = fit_cox(x - x.mean(axis=0), np.minimum(death, censor), (death <= censor).astype(float), 1e-6)
    np.testing.assert_allclose(found, weights, atol=0.1)
