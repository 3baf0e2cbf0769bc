"""Where in a slice content is: its centre, its share of any box, and pixels of it around the centre."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Content:
    """Where in a slice content is, of any resolution. What is asked more than once is computed once."""

    mask: npt.NDArray[np.bool_]
    """Pixels that are content, ``[H, W]``."""
    sigma: float
    """Standard deviation, in sides of the slice, of the Gaussian around the centre that pixels are drawn by."""

    @cached_property
    def centre(self) -> tuple[float, float]:
        """Its centre of mass, row and column in pixels from the upper left corner; the slice's middle without any."""
        rows, columns = np.nonzero(self.mask)
        if not len(rows):
            return self.mask.shape[0] / 2, self.mask.shape[1] / 2
        return float(rows.mean()) + 0.5, float(columns.mean()) + 0.5

    def share(self, top: int, left: int, height: int, width: int) -> float:
        """Share of a box that is content."""
        s, bottom, right = self._sums, top + height, left + width
        return float(s[bottom, right] - s[top, right] - s[bottom, left] + s[top, left]) / (height * width)

    @cached_property
    def _sums(self) -> npt.NDArray[np.int64]:
        """Content above and left of each corner of a pixel: the sum of any box is four of these."""
        sums = self.mask.astype(np.int64).cumsum(axis=0).cumsum(axis=1)
        return np.pad(sums, ((1, 0), (1, 0)))

    def pixel(self, draw: np.random.Generator) -> tuple[int, int]:
        """A pixel of content, those around the centre likelier; of a slice without content any, by its place."""
        running = self._running
        number = min(int(np.searchsorted(running, draw.random() * running[-1])), running.size - 1)
        width = int(self.mask.shape[1])
        return number // width, number % width

    @cached_property
    def _running(self) -> Weights:
        """Running sum, pixel by pixel, of how likely each is."""
        where = self.mask if self.mask.any() else None
        return np.asarray(gaussian(self.mask.shape, self.centre, self.sigma, where).ravel().cumsum())


def gaussian(
    size: tuple[int, ...], centre: tuple[float, float], sigma: float, where: npt.NDArray[np.bool_] | None = None
) -> Weights:
    """Weights ``[H, W]`` that fall off from ``centre``, which may lie outside; 0 but ``where``; the largest is 1.

    ``sigma`` is counted in sides.
    """
    rows, columns = (((np.arange(n) + 0.5 - c) / (sigma * n)) ** 2 for n, c in zip(size, centre, strict=True))
    exponent = -0.5 * (rows[:, None] + columns[None, :])
    if where is not None:
        exponent[~where] = -np.inf
    return np.asarray(np.exp(exponent - exponent.max()))
