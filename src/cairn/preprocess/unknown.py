"""Scans whose names tell no sequence: what the image says, and the place they take in their session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cairn.config.guard import GuardConfig
from cairn.config.preprocess import UnknownSequences
from cairn.datasets.layouts import is_unknown
from cairn.datasets.layouts.sequences import UNKNOWN
from cairn.errors import CairnError
from cairn.io.nifti import LIMITS
from cairn.preprocess.native import read_native
from cairn.preprocess.sequence_model import SequenceModel


@dataclass(frozen=True)
class Told:
    """Of a session: new name of each scan by its listed one, and what the model said of those that it looked at.

    ``said`` is plain JSON by new name: ``listed`` (what the name said), ``sequence``, ``likeliest``, ``confidence``,
    ``distance``.
    """

    names: dict[str, str]
    said: dict[str, dict[str, Any]]

    @property
    def column(self) -> str:
        """``unknown_2>T1w:0.981``, a scan after the other: the index's column."""
        return ",".join(f"{said['listed']}>{name}:{said['confidence']:.3f}" for name, said in self.said.items())


def tell(
    files: Mapping[str, Path], use: UnknownSequences, model: SequenceModel | None, limits: GuardConfig = LIMITS
) -> Told:
    """Look at a session's scans of unknown sequence.

    A scan takes the plain name of its sequence where the session has none yet, else the next number (``T1w_2``): what a
    name said stands before what an image looks like. A scan that cannot be read keeps its name, for the reader to
    refuse it.

    Args:
        files: path by listed sequence.
        use: settings.
        model: the model; without one, all names stay.
        limits: the guard's, as the reader will have them.
    """
    names = {name: name for name in files}
    said: dict[str, dict[str, Any]] = {}
    if use.method == "leave" or model is None:
        return Told(names, said)
    taken = {name for name in files if not is_unknown(name)}
    for listed in sorted(name for name in files if is_unknown(name)):
        try:
            answer = model.classify(read_native(files[listed], limits), use.confidence_min)
        except CairnError:
            continue
        new = listed if answer.sequence == UNKNOWN else _free(answer.sequence, taken)
        taken.add(new)
        names[listed] = new
        said[new] = {"listed": listed, **asdict(answer)}
    return Told(names, said)


def _free(sequence: str, taken: set[str]) -> str:
    name, number = sequence, 1
    while name in taken:
        number += 1
        name = f"{sequence}_{number}"
    return name
