"""What the names of data sets tell of people on two sides of the split: name spaces, known collections, splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cairn.config.experiment import DatasetConfig
from cairn.datasets.overlaps import collections_in
from cairn.errors import CairnError
from cairn.io.atomic import read_json
from cairn.io.tables import MISSING

SPLITS: Mapping[str, tuple[str, ...]] = {
    "pretrain": ("pretrain",),
    "train": ("pretrain", "finetune", "indomain", "validation"),
    "finetune": ("pretrain", "finetune", "validation"),
    "indomain": ("indomain",),
    "validation": ("validation",),
    "val": ("validation",),
    "test": ("test",),
}
"""Uses of a data set that rows of a split may have. Pretraining on what is fine-tuned on is the leakage rule's
business, as it is with sets of the cohort."""


def name_spaces(
    datasets: Mapping[str, DatasetConfig], roots: Callable[[str], Path], card: Callable[[str], Path]
) -> dict[str, str]:
    """Name space of the subject identifiers of each data set: within one, equal identifiers are one person.

    Of DICOM files, that is the secret they are derived from, as the conversion kept it: sets that were converted with
    one secret are compared wherever they lie.

    Args:
        datasets: sections by name.
        roots: where a data set's scans lie.
        card: the card of a DICOM set's conversion, which is absent before it.

    Raises:
        CairnError: code ``leak`` where two DICOM sets of one secret have different tables of people, so that one
            person may have two identifiers; ``config`` for a conversion whose card tells no name space.
    """
    found: dict[str, str] = {}
    tables: dict[str, tuple[str, str]] = {}
    for name, section in datasets.items():
        if section.identities or section.kind != "dicom" or not card(name).is_file():
            found[name] = section.identities or (f"cohort {name}" if section.kind == "cohort" else str(roots(name)))
            continue
        facts = read_json(card(name))["facts"]
        if "name_space" not in facts:
            reason = f"Data set '{name}' was converted before its card told whose identifiers it has."
            raise CairnError(reason, "Convert it again: snakemake convert.", "config")
        other, table = tables.setdefault(facts["name_space"], (name, facts["people"]))
        if table != facts["people"]:
            raise CairnError(
                f"Data sets '{other}' and '{name}' have one secret and different tables of people: a patient may have "
                "two identifiers.",
                "Convert both with one table (dicom.people); or, where no patient is in both, set their 'identities'.",
                "leak",
            )  # fmt: skip
        found[name] = f"dicom {facts['name_space']}"
    return found


def known_as(section: DatasetConfig, root: Path, roles: Sequence[str]) -> tuple[str, ...]:
    """Published collections that a data set is, or holds: as the configuration says, else as its folders are called.

    A tree of kind ``fomo60k`` that is pretrained on and whose folders tell no source is taken for FOMO60K.
    """
    if "known_as" in section.model_fields_set or section.kind not in ("fomo60k", "fomo300k"):
        return section.known_as
    found = collections_in(root)
    return found or (("fomo60k",) if section.kind == "fomo60k" and "pretrain" in roles else ())


def check_rows(dataset: str, manifest: Path, splits: Sequence[str], roles: Sequence[str]) -> None:
    """The rows of a manifest are of splits that its data set's uses allow.

    Args:
        dataset: its name.
        manifest: the table.
        splits: what stands in its column ``split``.
        roles: uses of the data set.

    Raises:
        CairnError: code ``leak`` for a split that contradicts a use, ``name`` for one that is not known.
    """
    for split in (s for s in splits if s != MISSING and roles):
        if split.lower() not in SPLITS:
            reason = f"Data set '{dataset}': {manifest} has rows of split '{split}', which says nothing here."
            raise CairnError(reason, f"Write one of {', '.join(SPLITS)}; or leave the column empty.", "name")
        for role in roles:
            if role not in SPLITS[split.lower()]:
                raise CairnError(
                    f"Data set '{dataset}' is used for '{role}', but {manifest} has rows of split '{split}'.",
                    f"Give the rows for '{role}' a manifest, and a data set, of their own; or mend the column 'split'.",
                    "leak",
                )  # fmt: skip
