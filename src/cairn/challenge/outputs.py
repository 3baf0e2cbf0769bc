"""Is an answer what the contract asks for? An entry's output file against its task, with a verdict by name.

An output is a stranger's file: nothing follows a link, nothing is taken for granted of its header, and no memory is
taken before its size is known to be that of an answer. An empty mask is an answer: a head without a lesion has one
(FOMO25's own validator refuses it).
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cairn.config.evaluate import EvaluateConfig
from cairn.config.tasks import TaskInputs
from cairn.errors import CairnError
from cairn.io.grids import GRID_TOLERANCE_MM, corner_shift_mm
from cairn.io.nifti import open_header, read_label_map

Array = npt.NDArray[Any]
OK = "ok"
MOST_TEXT_BYTES = 1024
MOST_VECTOR_BYTES = 1 << 20
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.ASCII | re.IGNORECASE)
ELDEST_YEARS = EvaluateConfig().max_age_years

REMEDIES = {
    "missing": "Write the file that --output names, also where the answer is 'nothing found'.",
    "link": "Write the file itself, not a link.",
    "not-a-file": "Write a plain file.",
    "too-large": "Write the answer alone.",
    "empty": "Write the answer into it, also where it is 'nothing found'.",
    "not-a-number": "Write one number as decimal text, such as 0.731.",
    "several-values": "Write one number alone, without a list, a name or a unit.",
    "nan": "Answer with a finite number in every case.",
    "out-of-range": "Write a probability from 0 to 1, or an age in years.",
    "wrong-shape": "Give the mask back on the grid of the scan that it belongs to.",
    "wrong-affine": "Copy the affine of the scan that the mask belongs to.",
    "wrong-dimension": "Write one 3D mask, or one vector, at most with a batch axis of 1.",
    "wrong-type": "Write whole numbers as labels, or a vector of floating point numbers.",
    "label-set": "Use 0 for outside, and the labels of the task alone.",
    "not-nifti": "Write a mask as NIfTI-1, packed by gzip (.nii.gz).",
    "changing": "Fix every seed, and answer a case alike each time.",
    "not-npy": "Write the vector with numpy.save, without pickle.",
}
"""What an entrant can do, by verdict."""
_OF_THE_GUARD = {
    "not-3d": "wrong-dimension", "dimensions": "wrong-dimension", "too-thin": "wrong-shape", "datatype": "wrong-type",
    "unknown-label": "label-set", "too-large": "too-large", "missing": "missing", "not-a-file": "not-a-file",
}  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """An output and its verdict: ``ok``, or a code of `REMEDIES` with a sentence that says what was found."""

    verdict: str
    sentence: str = ""
    value: float | None = None
    """The number, of a valid text."""
    labels: npt.NDArray[np.uint8] | None = None
    """The mask ``[X, Y, Z]``, of a valid one."""
    vector: npt.NDArray[np.float32] | None = None
    """The embedding ``[E]``, of a valid one."""

    @property
    def ok(self) -> bool:
        """Whether it is an answer."""
        return self.verdict == OK

    @property
    def remedy(self) -> str:
        """What the entrant can do."""
        return REMEDIES.get(self.verdict, "")

    @property
    def content(self) -> str:
        """SHA-256 of what it says, whatever the file's bytes: two runs of one entry must agree in it."""
        said = repr(self.value).encode()
        for array in (self.labels, self.vector):
            if array is not None:
                said += repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()
        return hashlib.sha256(said).hexdigest()


def check_output(task: TaskInputs, file: Path, reference: Path | None, eldest_years: float = ELDEST_YEARS) -> Checked:
    """Judge the output of one case.

    Args:
        task: what was asked; a probe answers with an embedding.
        file: what the entry wrote; a link is not followed.
        reference: of a segmentation, the scan whose grid the mask must have.
        eldest_years: the highest age that counts as one.
    """
    fault = _no_file(file)
    if fault is not None:
        return fault
    if task.kind == "segmentation":
        if reference is None:
            raise ValueError("a mask is checked against its scan")
        return _mask(task, file, reference)
    if task.kind == "probe":
        return _vector(file)
    return _number(file, 1.0 if task.kind == "classification" else eldest_years)


def refused(code: str, sentence: str) -> Checked:
    """A verdict that is not ``ok``; what a stranger's file holds of it is made harmless."""
    return Checked(code, printable(sentence))


def printable(text: str) -> str:
    """A stranger's text in one line, each character that a table or a terminal could trip over replaced."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


def _no_file(file: Path) -> Checked | None:
    try:
        status = os.lstat(file)
    except OSError:
        return refused("missing", f"there is no {file.name}.")
    if stat.S_ISLNK(status.st_mode):
        return refused("link", f"{file.name} is a symbolic link.")
    if not stat.S_ISREG(status.st_mode):
        return refused("not-a-file", f"{file.name} is no plain file (a folder, pipe, socket or device).")
    return None if status.st_size else refused("empty", f"{file.name} is empty.")


def _content(file: Path, most: int) -> bytes | Checked:
    """A small file's bytes; never more than ``most`` are read."""
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        return refused("too-large", f"{file.name} has more than {most:,} bytes.")
    return content


def _number(file: Path, high: float) -> Checked:
    content = _content(file, MOST_TEXT_BYTES)
    if isinstance(content, Checked):
        return content
    words = content.decode("utf-8", "replace").split()
    if not words:
        return refused("empty", f"{file.name} is empty.")
    shown = " ".join(words)[:40]
    if len(words) > 1:
        return refused("several-values", f"{file.name} holds {len(words)} words: '{shown}'.")
    if NOT_FINITE.fullmatch(words[0]):
        return refused("nan", f"{file.name} says '{shown}'.")
    if not NUMBER.fullmatch(words[0]):
        several = len(re.findall(NUMBER, words[0])) > 1 and re.search(r"[,;\[\]()]", words[0])
        return refused("several-values" if several else "not-a-number", f"{file.name} says '{shown}'.")
    value = float(words[0])
    if not 0 <= value <= high:
        return refused("out-of-range", f"{file.name} says {shown}; 0 to {high:g} is possible.")
    return Checked(OK, value=value)


def _mask(task: TaskInputs, file: Path, reference: Path) -> Checked:
    """A mask is a 3D NIfTI file of the task's labels on its scan's grid; the header is judged first."""
    most = len(task.classes) or 1
    _, wanted, wanted_affine = open_header(reference)
    try:
        header, shape, affine = open_header(file)
        if any(repair.code == "extra-axis" for repair in header.repairs):
            return refused("wrong-dimension", f"{file.name} has more than three axes.")
        if shape != wanted:
            return refused("wrong-shape", f"{file.name} has shape {_by(shape)}; the scan has {_by(wanted)}.")
        shift = corner_shift_mm(shape, affine, wanted_affine)
        if not shift <= GRID_TOLERANCE_MM:
            return refused("wrong-affine", f"{file.name}: its grid lies up to {shift:.3g} mm away from the scan's.")
        return Checked(OK, labels=read_label_map(file, most))
    except CairnError as error:
        if error.code == "not-a-mask":
            return _no_labels(file, most)
        return refused(_OF_THE_GUARD.get(error.code, "not-nifti"), error.reason.replace(str(file), file.name))


def _no_labels(file: Path, most: int) -> Checked:
    """What keeps a readable NIfTI file from being a mask; the guard has passed it, so that nibabel may have it."""
    import nibabel as nib

    data = np.asanyarray(nib.load(file).dataobj)  # type: ignore[attr-defined]
    if not np.isfinite(data).all():
        return refused("nan", f"{file.name} holds NaN or infinite voxels.")
    if (data != np.round(data)).any():
        return refused("wrong-type", f"{file.name} holds fractions, as of probabilities, not labels.")
    return refused("label-set", f"{file.name} holds labels from {data.min():g} to {data.max():g}, not 0 to {most}.")


def _vector(file: Path) -> Checked:
    """An embedding is a ``.npy`` file of one axis; its header is held against its size before it is believed."""
    content = _content(file, MOST_VECTOR_BYTES)
    if isinstance(content, Checked):
        return content
    stream, layout = io.BytesIO(content), cast(Any, np.lib.format)
    try:
        readers = {(1, 0): layout.read_array_header_1_0, (2, 0): layout.read_array_header_2_0}
        shape, _, kind = readers[layout.read_magic(stream)](stream)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        return refused("not-npy", f"{file.name} is no readable .npy file ({str(error)[:80]}).")
    if kind.hasobject or kind.kind != "f":
        return refused("wrong-type", f"{file.name} holds {kind}, not floating point numbers.")
    if len(shape) == 2 and shape[0] == 1:  # a batch of one, which FOMO26's validator takes for its vector
        shape = shape[1:]
    if len(shape) != 1:
        return refused("wrong-dimension", f"{file.name} has {len(shape)} axes ({_by(shape)}); a vector has one.")
    if shape[0] < 1:
        return refused("empty", f"{file.name} holds an empty vector.")
    if math.prod(shape) * kind.itemsize != len(content) - stream.tell():
        return refused("not-npy", f"{file.name}: its header claims {_by(shape)} numbers, and the file holds others.")
    with np.errstate(over="ignore"):
        vector = np.frombuffer(content, kind, offset=stream.tell()).astype(np.float32)
    if not np.isfinite(vector).all():
        return refused("nan", f"{file.name} holds NaN or infinite numbers.")
    return Checked(OK, vector=vector)


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a single number"
