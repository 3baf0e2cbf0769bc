"""What an entry wrote, judged without trust: a number, a mask or an embedding, or why it is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cairn.errors import CairnError
from cairn.evaluate.cases import GRID_TOLERANCE_MM, corner_shift_mm
from cairn.io.nifti import open_header, read_label_map

MOST_TEXT = 4096
"""Bytes of a text that holds one number."""
MOST_EMBEDDING = 1 << 20
"""Numbers of an embedding."""


@dataclass(frozen=True)
class Checked:
    """An output.

    Attributes:
        code: ``ok``, or what is wrong; a mask's are those of docs/reference/quarantine.md and ``wrong-shape``,
            ``wrong-affine``.
        sentence: what is wrong and what to do, for the entrant.
        value: of a number.
        embedding: of a probe, float32 ``[E]``.
    """

    code: str = "ok"
    sentence: str = "ok"
    value: float | None = None
    embedding: npt.NDArray[np.float32] | None = None

    @property
    def valid(self) -> bool:
        """Whether it can be scored."""
        return self.code == "ok"


def check_output(kind: str, file: Path, reference: Path | None = None, labels: int = 1, most: float = 1.0) -> Checked:
    """Judge one output; never raises for what an entry wrote.

    Args:
        kind: of the task: ``classification``, ``regression``, ``segmentation`` or ``probe``.
        file: the output, out of the entry's reach (`cairn.sandbox.take.take`).
        reference: of a mask, the scan whose grid it must have.
        labels: of a mask, the largest label.
        most: of a number, the largest value; 0 is the least.
    """
    try:
        if kind == "segmentation":
            return _mask(file, reference, labels)
        with file.open("rb") as stream:
            return _embedding(stream) if kind == "probe" else _number(stream.read(MOST_TEXT + 1), most)
    except CairnError as error:
        return Checked(error.code, str(error))
    except OSError as error:
        return Checked("missing", f"There is no output ({error.strerror}). Write the file that --output names.")


def _number(data: bytes, most: float) -> Checked:
    if len(data) > MOST_TEXT:
        return Checked("too-large", f"The text has more than {MOST_TEXT} bytes. Write one number.")
    words = data.decode("utf-8", "replace").split()
    if not words:
        return Checked("empty", "The text is empty. Write one number.")
    values = [_float(word) for word in words]
    shown = " ".join(words)[:40]
    if None in values:
        return Checked("not-a-number", f"'{shown}' is no number. Write one number, such as 0.25.")
    if len(values) > 1:
        return Checked("several-values", f"'{shown}' are {len(values)} numbers. Write one.")
    value = values[0]
    assert value is not None
    if not math.isfinite(value):
        return Checked("not-finite", f"'{shown}' is not finite. Write a number from 0 to {most:g}.")
    if not 0 <= value <= most:
        return Checked("out-of-range", f"{shown} is out of range. Write a number from 0 to {most:g}.")
    return Checked(value=value)


def _float(word: str) -> float | None:
    try:
        return float(word) if word.isascii() and "_" not in word else None
    except ValueError:
        return None


def _mask(file: Path, reference: Path | None, labels: int) -> Checked:
    header, shape, affine = open_header(file)
    if reference is not None:
        _, wanted, placed = open_header(reference)
        if shape != wanted:
            reason = f"The mask has {_words(shape)} voxels, its scan {_words(wanted)}."
            return Checked("wrong-shape", f"{reason} Write it on the scan's grid.")
        far = corner_shift_mm(shape, affine, placed)
        if far > GRID_TOLERANCE_MM:
            reason = f"The mask's corners lie up to {far:.3g} mm from the scan's."
            return Checked("wrong-affine", f"{reason} Copy the scan's affine.")
    if header.kind.kind not in "uif":
        return Checked("datatype", f"Voxels are {header.kind}. Write integers.")
    read_label_map(file, labels)
    return Checked()


def _embedding(stream: BinaryIO) -> Checked:
    layout: Any = np.lib.format
    try:
        version = layout.read_magic(stream)
        read = layout.read_array_header_1_0 if version == (1, 0) else layout.read_array_header_2_0
        shape, _, kind = read(stream)
    except ValueError:
        return Checked("not-npy", "The file is no NumPy array. Write it by numpy.save, without pickle.")
    if len(shape) != 1:
        return Checked("wrong-dimension", f"The embedding has shape {shape}. Write one vector.")
    if not 1 <= shape[0] <= MOST_EMBEDDING:
        return Checked("too-large", f"The embedding has {shape[0]} numbers; 1 to {MOST_EMBEDDING} are possible.")
    if kind.kind not in "fiu":
        return Checked("datatype", f"The embedding holds {kind}. Write floats.")
    data = stream.read(shape[0] * kind.itemsize)
    if len(data) < shape[0] * kind.itemsize:
        return Checked("truncated", "The file ends within the embedding. Write it whole.")
    found = np.frombuffer(data, kind).astype(np.float32)
    if not np.isfinite(found).all():
        return Checked("not-finite", "The embedding holds NaN or infinity. Write finite numbers.")
    return Checked(embedding=found)


def _words(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
