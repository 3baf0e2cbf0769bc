"""MONAI, imported without what it would only offer: an import of some hundred jobs, so its seconds count.

While it is imported, MONAI looks for optional packages and takes in those that it finds. What the blocks that we use
do without is hidden from it meanwhile, by the entry ``None`` that Python itself knows as "not there": a third of the
time remains. Measured: docs/benchmarks/imports.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

OPTIONAL = ("transformers", "jsonschema", "matplotlib", "pandas", "skimage", "ignite", "tensorboard", "onnx", "fire")


@contextmanager
def lean() -> Iterator[None]:
    """Context in which MONAI is imported; what is imported already stays as it is."""
    hidden = [name for name in OPTIONAL if name not in sys.modules] if "monai" not in sys.modules else []
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
