"""One table of sequence names: what BIDS, FOMO25, FOMO26 and FOMO60K to 300K call a sequence, and what Cairn does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNKNOWN = "unknown"

_SPELLED: Mapping[str, Sequence[str]] = {
    "T1w": ("t1w", "t1", "t1wi", "mprage", "t1_mprage", "t1w_mprage", "spgr", "bravo", "unit1", "inplanet1"),
    "T1c": ("t1c", "t1ce", "t1gd", "t1_ce", "t1_gd", "t1w_ce", "ce-t1w", "t1post", "t1_post", "t1wce"),
    "T2w": ("t2w", "t2", "t2wi", "inplanet2"),
    "T2star": ("t2s", "t2star", "t2starw", "t2*", "t2*w", "t2_star", "gre", "t2gre", "t2_gre"),
    "FLAIR": ("flair", "t2flair", "t2_flair", "t2f", "t2w_flair"),
    "PD": ("pd", "pdw", "pdwi"),
    "SWI": ("swi",),
    "minIP": ("minip", "swi_minip"),
    "DWI": ("dwi", "trace", "dwi_trace"),
    "ADC": ("adc", "dwi_adc"),
    "b0": ("b0", "dwi_b0"),
    "CT": ("ct",),
    UNKNOWN: ("scan",),
}
_NOT_WEIGHTED: Mapping[str, Sequence[str]] = {  # named for certain, so never guessed from the image
    "ASL": ("asl", "m0scan", "cbf", "perf"),
    "angio": ("angio", "tof", "mra", "tof_mra"),
    "MP2RAGE": ("mp2rage",),
    "map": ("t1map", "t2map", "t2starmap", "r1map", "r2map", "r2starmap", "pdmap", "mtrmap", "mtsat", "fa", "md"),
}
SEQUENCES = {word: name for name, words in _SPELLED.items() for word in words}
NOT_WEIGHTED = {word: name for name, words in _NOT_WEIGHTED.items() for word in words}
SPELLINGS = {**SEQUENCES, **NOT_WEIGHTED}

_ENTITY = re.compile(r"^([a-z0-9]+)-([a-z0-9.+]+)$", re.IGNORECASE)
_B_VALUE = re.compile(r"^b(?:val)?-?(\d+)$")
_B0 = 50  # s/mm²: up to it, no diffusion weighting to speak of
_B_TYPICAL = 1000  # the value that a plain 'dwi' is taken for
_DROPPED = ("sub", "ses", "run")


@dataclass(frozen=True)
class Named:
    """What a file name says: the sequence, what sets it apart from others of the session, the number of a repeat."""

    base: str
    variant: str = ""
    repeat: int = 1

    @property
    def sequence(self) -> str:
        """The name in listings: ``T1w``, ``T1w_2``, ``FLAIR_hires``, ``FLAIR_hires_2``."""
        variant = f"_{self.variant}" if self.variant else ""
        return self.base + variant + (f"_{self.repeat}" if self.repeat > 1 else "")


def fomo_name(stem: str) -> Named:
    """Read a FOMO file name without suffix: ``t1``, ``t1_2`` (a repeat), ``dwi_b1000``, ``run-2_t1w``, ``scan``.

    What is not in the table is ``unknown``, never left out: the image may tell what it is.
    """
    words = stem.lower().split("_")
    repeat = 1
    if len(words) > 1 and words[-1].isdigit():
        repeat = int(words.pop())
    whole = "_".join(words)
    if whole in SPELLINGS:
        return Named(SPELLINGS[whole], repeat=repeat)
    entities = {m[1]: m[2] for w in words if (m := _ENTITY.match(w)) and not _B_VALUE.match(w)}
    plain = [w for w in words if w not in {f"{key}-{value}" for key, value in entities.items()}]
    shells = [int(m[1]) for w in plain if (m := _B_VALUE.match(w))]
    base = SPELLINGS.get("_".join(w for w in plain if not _B_VALUE.match(w)) or ("dwi" if shells else ""), UNKNOWN)
    if base == "T1w" and "ce" in entities:
        base = "T1c"
    repeat = max(repeat, _run(entities))
    variant = _variant(entities, base)
    if base == "DWI" and shells:
        base, variant = ("b0", variant) if shells[0] <= _B0 else (base, _shell(shells[0]) + variant)
    return Named(base, variant, repeat) if base != UNKNOWN else Named(UNKNOWN, repeat=repeat)


def _shell(b: int) -> str:
    return "" if b == _B_TYPICAL else f"b{b}"


def is_unknown(sequence: str) -> bool:
    """Whether a listed sequence says that the name told none: ``unknown``, ``unknown_2``."""
    return sequence.split("_")[0] == UNKNOWN


def bids_name(stem: str) -> Named | None:
    """Read a BIDS file name without suffix; None for masks, phase images, maps and whatever Cairn does not use.

    Every entity that sets two scans of a session apart (``acq``, ``rec``, ``dir``, ``echo``, …) becomes the variant.
    """
    *pairs, suffix = stem.split("_")
    entities = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    base = SEQUENCES.get(suffix.lower())
    if base is None or entities.pop("part", "mag") != "mag":
        return None
    if base == "T1w" and entities.get("ce"):
        base = "T1c"
    if base == "DWI" and entities.get("desc", "").lower() == "adc":
        base = "ADC"
        del entities["desc"]
    return Named(base, _variant(entities, base), _run(entities))


def _variant(entities: Mapping[str, str], base: str) -> str:
    return "".join(
        re.sub(r"[^A-Za-z0-9]", "", value)
        for key, value in entities.items()
        if key not in _DROPPED and not (key == "ce" and base == "T1c")
    )


def _run(entities: Mapping[str, str]) -> int:
    run = entities.get("run", "1")
    return max(1, int(run)) if run.isdigit() else 1
