"""What must stay unknown, of kinds that no training saw: a body, phantoms, ramps, a map of labels, plain noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cairn.preprocess.native import Array
from cairn.preprocess.sequence_heads import Example
from cairn.preprocess.sequence_model import OTHER

SHAPE, ZOOMS = (96, 80, 60), (4.0, 4.0, 5.0)


def strangers(rng: np.random.Generator) -> Iterator[Example]:
    """One of each kind, a little different at every draw."""
    axes = [(np.arange(n) - (n - 1) / 2) * z for n, z in zip(SHAPE, ZOOMS, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    size = float(rng.uniform(0.9, 1.1))
    made = {
        "body-ct": _body(x / size, y / size, z, rng),
        "body-mr": np.maximum(_body(x / size, y / size, z, rng) + 150, 0),
        "bottle": 900.0 * (np.hypot(x, y) < 55 * size) * (abs(z) < 110) + rng.normal(0, 10, SHAPE),
        "ball": 700.0 * (x**2 + y**2 + z**2 < (80 * size) ** 2) * (1 + 0.2 * np.sign(np.sin(x / 8) * np.sin(y / 8))),
        "ramp": np.broadcast_to(x, SHAPE) + 200.0,
        "blocks": rng.integers(0, 5, (6, 5, 5)).repeat(16, 0).repeat(16, 1).repeat(12, 2) * 1.0,
        "noise": rng.normal(500, 90, SHAPE),
        "speckle": rng.exponential(100, SHAPE) * (x**2 / 90**2 + y**2 / 75**2 + z**2 / 80**2 < size),
    }
    affine = np.diag([*ZOOMS, 1.0])
    for kind, data in made.items():
        yield Example(kind, OTHER, np.asarray(data, np.float32), affine, None)


def _body(x: Array, y: Array, z: Array, rng: np.random.Generator) -> Any:
    """A trunk in Hounsfield units: fat, muscle, spine, ribs, a liver, gas."""
    hu = np.full(x.shape, -1000.0)
    hu[(x / 175) ** 2 + (y / 125) ** 2 < 1] = -95
    hu[(x / 150) ** 2 + (y / 100) ** 2 < 1] = 45
    hu[(x / 130) ** 2 + ((y - 10) / 80) ** 2 < 1] = -20
    hu[((x - 70) / 60) ** 2 + ((y - 10) / 55) ** 2 + (z / 90) ** 2 < 1] = 60
    for _ in range(8):
        a, b, c = rng.uniform(-80, 40), rng.uniform(-30, 70), rng.uniform(-120, 120)
        hu[((x - a) / 25) ** 2 + ((y - b) / 20) ** 2 + ((z - c) / 25) ** 2 < 1] = -900
    hu[(x / 22) ** 2 + ((y + 62) / 18) ** 2 < 1] = 350
    ring = abs(np.hypot(x / 150, y / 100) - 0.98) < 0.04
    hu[ring & (np.sin(z / 9) > 0.4)] = 500
    return hu + rng.normal(0, 12, x.shape)
