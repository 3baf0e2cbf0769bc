"""What an entry is called with, and what it must write: the contracts of FOMO25 and FOMO26, as one table.

An image holds ``/app/predict.py``. It is called once a case, with one argument for each scan that the case has and
``--output FILE``; scans lie read-only under ``/input/ses_1``, named as their arguments. FOMO26 differs in a name and in
the linear probe, whose single scan is ``--input``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Literal

from cairn.errors import CairnError

ContractName = Literal["fomo25", "fomo26"]
COMMAND = ("python", "/app/predict.py")
INPUT = PurePosixPath("/input")
OUTPUT = PurePosixPath("/output")
SESSION = "ses_1"
PROBE_FLAG = "input"
"""FOMO26's linear probe sees one scan, whatever its sequence."""

_SHARED = {
    "FLAIR": "flair",
    "ADC": "adc",
    "T2star": "t2s",
    "SWI": "swi",
    "T1w": "t1",
    "T2w": "t2",
    "T1c": "t1c",
    "PD": "pd",
}
FLAGS: Mapping[ContractName, Mapping[str, str]] = MappingProxyType(
    {
        "fomo25": MappingProxyType({**_SHARED, "DWI": "dwi_b1000"}),
        "fomo26": MappingProxyType({**_SHARED, "DWI": "dwi"}),
    }
)
"""By contract: the argument (without dashes) that carries a sequence. T1c and PD are ours; no published task asks."""

SECONDS: Mapping[ContractName, float] = MappingProxyType({"fomo25": 120.0, "fomo26": 900.0})
"""Wall time of a case that the validators of the contracts allow."""

SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        "classification": ".txt",
        "regression": ".txt",
        "segmentation": ".nii.gz",
        "probe": ".npy",
    }
)
"""By kind of task: how the output's name ends. Text: one finite number. Mask: labels on the grid of the mask's
sequence. Probe: the embedding, one float vector of the same length for every case."""


def suffix_of(kind: str) -> str:
    """How the output of a task of that kind ends.

    Raises:
        CairnError: for a kind that no container contract knows.
    """
    if kind not in SUFFIXES:
        reason = f"No container contract knows a task of kind '{kind}'."
        raise CairnError(reason, f"Name a task of one of: {', '.join(SUFFIXES)}.", "contract")
    return SUFFIXES[kind]


def arguments(contract: ContractName, kind: str, sequences: Iterable[str], output: str) -> list[str]:
    """What the command of an image is called with for one case, paths as the image sees them.

    Args:
        contract: whose names.
        kind: of the task.
        sequences: those that the case has, in the order of the task; a probe takes the first.
        output: name of the file below ``/output``.

    Raises:
        CairnError: for a sequence that the contract has no argument for, or a kind without one.
    """
    suffix_of(kind)
    found = list(sequences)
    if kind == "probe":
        pairs = [(PROBE_FLAG, PROBE_FLAG)] if found else []
    else:
        unknown = [name for name in found if name not in FLAGS[contract]]
        if unknown:
            reason = f"{contract} has no argument for {', '.join(unknown)}."
            raise CairnError(reason, f"It has them for {', '.join(FLAGS[contract])}.", "contract")
        pairs = [(flag, flag) for flag in (FLAGS[contract][name] for name in found)]
    scans = [part for flag, stem in pairs for part in (f"--{flag}", str(INPUT / SESSION / f"{stem}.nii.gz"))]
    return [*scans, "--output", str(OUTPUT / output)]


def input_name(contract: ContractName, kind: str, sequence: str) -> str:
    """File name of a sequence below ``/input/ses_1``."""
    stem = PROBE_FLAG if kind == "probe" else FLAGS[contract].get(sequence, sequence.lower())
    return f"{stem}.nii.gz"
