"""What an entry answers where no scan of a case can be used: what its training set says on average.

A challenge counts a case without an answer as the worst there is. Whoever asks by hand is refused instead
(`cairn.challenge.predict_case`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cairn.challenge.bundle import Bundle
from cairn.errors import CairnError
from cairn.io.atomic import atomic_path, write_text
from cairn.io.nifti import open_header, write_scan
from cairn.nets.meta import read_meta
from cairn.nets.weights import read_tensors


def guess(bundle: Bundle, scans: Mapping[str, Path], out: Path) -> None:
    """Write the training set's share of positives, its mean target, its mean embedding, or an empty mask.

    A mask lies on the grid of the task's mask sequence, or where that is not given of the first in the task's order.

    Args:
        bundle: the model.
        scans: by sequence; of a mask's scan the header is read.
        out: the file.

    Raises:
        CairnError: where the model does not say (a classical one; code ``guess``), or a mask's scan has no header.
    """
    task, meta = bundle.job.task, read_meta(bundle.model)
    facts = meta.get("facts", {})
    if task.kind == "segmentation":
        like = next(scans[name] for name in (task.mask_sequence, *task.sequences) if name in scans)
        _, shape, affine = open_header(like)
        write_scan(out, np.zeros(shape, np.uint8), affine)
    elif task.kind == "probe" and bundle.job.method != "classical":
        with atomic_path(out) as temporary, temporary.open("wb") as file:
            np.save(file, read_tensors(bundle.model)["head.mean"].numpy().astype(np.float32), allow_pickle=False)
    elif "positive_weight" in facts:
        write_text(out, f"{1 / (1 + facts['positive_weight'])!r}\n")
    elif "mean" in facts:
        write_text(out, f"{facts['mean']!r}\n")
    else:
        raise CairnError(f"{bundle.model}: does not say what to guess.", "Package a network.", "guess")
