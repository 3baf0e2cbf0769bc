"""The command line of an entry: FOMO25's and FOMO26's arguments in, one file out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cairn.challenge.bundle import Bundle, open_bundle
from cairn.challenge.contract import FLAGS, PROBE_FLAG
from cairn.challenge.guess import guess
from cairn.challenge.predict_case import Unusable, predict_case
from cairn.errors import CairnError

REFUSED, FAILED = 2, 1
FLAG_OF: Mapping[str, str] = {flag: name for flags in FLAGS.values() for name, flag in flags.items()}
"""Sequence of each argument of either contract: ``dwi`` and ``dwi_b1000`` are one."""


def main(bundle: Path, arguments: Sequence[str] | None = None) -> int:
    """Predict one case, or guess where its scans are there and none can be used.

    Returns:
        The exit status: 0, of a guess with one line on the error stream that says so; 2 with one line where the input
        is refused, or the arguments are wrong; 1 with one line where the machine is at fault, such as an output that
        cannot be written.
    """
    parser = argparse.ArgumentParser(description="Predict one case from its raw scans.", allow_abbrev=False)
    for flag in [*sorted(FLAG_OF), PROBE_FLAG]:
        parser.add_argument(f"--{flag}", type=Path, metavar="SCAN.nii.gz")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--threads", type=int, default=1, help="more are faster, and may change the last digits")
    given = vars(parser.parse_args(arguments))
    try:
        opened = open_bundle(bundle)
        notes = _answer(opened, scans_of(opened, given), given["output"], given["threads"])
    except CairnError as error:
        print(f"refused: {' '.join(str(error).split())}", file=sys.stderr)
        return REFUSED
    except (OSError, MemoryError) as error:
        print(f"failed: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return FAILED
    for note in notes:
        print(note, file=sys.stderr)
    return 0


def _answer(opened: Bundle, scans: Mapping[str, Path], out: Path, threads: int) -> Sequence[str]:
    """Write the answer, or a guess; what is to be said of it."""
    try:
        return predict_case(opened, scans, out, threads).notes
    except Unusable as error:
        if not all(path.is_file() for path in scans.values()):  # a wrong path is the caller's, and no case
            raise
        try:
            guess(opened, scans, out)
        except CairnError:
            raise error from None
        return [f"guessed from the training set: {' '.join(error.reason.split())}"]


def scans_of(bundle: Bundle, given: Mapping[str, Path | None]) -> dict[str, Path]:
    """Scans by sequence, of arguments by name; a scan without a sequence's name counts as the task's first.

    Raises:
        CairnError: when two arguments name one sequence (code ``arguments``).
    """
    found: dict[str, Path] = {}
    first = bundle.job.task.sequences[0]
    for flag, name in [*FLAG_OF.items(), (PROBE_FLAG, first)]:
        path = given.get(flag)
        if path is None:
            continue
        if name in found:
            raise CairnError(f"--{flag} names {name} a second time.", "Give each sequence once.", "arguments")
        found[name] = path
    return found
