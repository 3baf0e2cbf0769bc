"""Mean absolute error and Pearson correlation, for one sample and for many weighted resamples of it at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_FLAT = 1e-12  # a variance below this share of the sample's is rounding, not spread


def mae(labels: npt.NDArray[Any], predictions: npt.NDArray[Any], cap: float = np.inf) -> float | None:
    """Mean absolute error in the labels' unit, each error at most ``cap``; None without cases."""
    if len(labels) == 0:
        return None
    return float(np.minimum(np.abs(np.asarray(predictions, float) - np.asarray(labels, float)), cap).mean())


def pearson_r(labels: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> float | None:
    """Pearson correlation; None where it is undefined (fewer than two cases, or either side constant)."""
    value = pearson_resampled(labels, predictions, np.ones((1, len(labels))))[0]
    return None if np.isnan(value) else float(value)


def pearson_resampled(labels: npt.NDArray[Any], predictions: npt.NDArray[Any], counts: npt.NDArray[Any]) -> Floats:
    """Pearson correlation of each of many resamples, ``[R]``; NaN where undefined.

    Args:
        labels: ``[n]``.
        predictions: ``[n]``, finite.
        counts: ``[R, n]``, how often each case stands in each resample.
    """
    y, x = np.asarray(labels, float), np.asarray(predictions, float)
    if len(y) < 2 or np.ptp(y) == 0 or np.ptp(x) == 0:
        return np.full(len(counts), np.nan)
    y, x = (y - y.mean()) / y.std(), (x - x.mean()) / x.std()
    weights = np.asarray(counts, float)
    moments = weights @ np.stack([np.ones_like(y), y, x, y * y, x * x, y * x], axis=1)
    n, sy, sx, syy, sxx, syx = moments.T
    n = np.maximum(n, 1)
    var_y, var_x = syy / n - (sy / n) ** 2, sxx / n - (sx / n) ** 2
    defined = (var_y > _FLAT) & (var_x > _FLAT)
    scale = np.sqrt(np.where(defined, var_y * var_x, 1.0))
    return np.where(defined, np.clip((syx / n - sy * sx / n**2) / scale, -1.0, 1.0), np.nan)
