"""Mean absolute error, Pearson correlation and R², for one sample and for many weighted resamples of it at once."""

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


def r2(labels: npt.NDArray[Any], predictions: npt.NDArray[Any], cap: float = np.inf) -> float | None:
    """Coefficient of determination: 1 is perfect, 0 as good as the labels' mean, below it worse.

    Args:
        labels: ``[n]``.
        predictions: ``[n]``, finite.
        cap: largest absolute error that counts, as for `mae`.

    Returns:
        The value, or None where it is undefined (labels that do not vary).
    """
    value = r2_resampled(labels, predictions, np.ones((1, len(labels))), cap)[0]
    return None if np.isnan(value) else float(value)


def r2_resampled(
    labels: npt.NDArray[Any], predictions: npt.NDArray[Any], counts: npt.NDArray[Any], cap: float = np.inf
) -> Floats:
    """`r2` of each of many resamples ``counts`` ``[R, n]``, ``[R]``; NaN where undefined."""
    y = np.asarray(labels, float)
    if len(y) < 2 or np.ptp(y) == 0:
        return np.full(len(counts), np.nan)
    error = np.minimum(np.abs(np.asarray(predictions, float) - y), cap)
    z = y - y.mean()
    n, sum_z, sum_zz, sum_ee = (np.asarray(counts, float) @ np.stack([np.ones_like(z), z, z * z, error**2], axis=1)).T
    spread = sum_zz - sum_z**2 / np.maximum(n, 1)
    defined = spread > _FLAT * float((z * z).sum())
    return np.where(defined, 1.0 - sum_ee / np.where(defined, spread, 1.0), np.nan)
