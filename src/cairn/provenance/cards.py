"""Cards (``run.json``): what a job read and made, by hash. Every artefact of an experiment stands in one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.io.atomic import read_json, sha256

CARD_FORMAT = 2
CARD = "run.json"
TIMESTAMP = ".snakemake_timestamp"  # Snakemake's own, in folders that a job makes
Card = Mapping[str, Any]


def hashes(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 by path; of a folder, of every file in it."""
    files = [f for path in paths for f in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return {f.as_posix(): sha256(f) for f in files if not f.is_dir() and f.name != TIMESTAMP}


def read_card(path: Path) -> dict[str, Any]:
    """Read a card.

    Raises:
        CairnError: when it is missing, unreadable, or of another format.
    """
    try:
        card: dict[str, Any] = read_json(path)
    except FileNotFoundError:
        raise CairnError(f"{path}: no such card.", "Run the stage that makes it.", "missing") from None
    except ValueError:
        raise CairnError(f"{path}: not a readable card.", "Run the stage that makes it again.", "json") from None
    if not isinstance(card, dict) or card.get("format") != CARD_FORMAT:
        raise CairnError(f"{path}: not a card of format {CARD_FORMAT}.", "Run the stage that makes it again.", "json")
    return card


def card_beside(path: Path) -> Path | None:
    """The card of the job that made ``path``, as the workflow names it: ``{name}.run.json``, or ``run.json`` beside.

    ``0000.index.tsv`` and ``0000.safetensors`` belong to ``0000.run.json``. None where there is no such file.
    """
    name = path.name
    while True:
        named = path.with_name(f"{name}.{CARD}")
        if named.is_file():
            return named
        if "." not in name:
            break
        name = name.rsplit(".", 1)[0]
    whole = path.with_name(CARD)
    return whole if whole.is_file() else None


def check_inputs(read: Mapping[str, str]) -> None:
    """Refuse inputs that are not what the job that made them wrote: a number must not rest on an altered file.

    Args:
        read: SHA-256 by path.

    Raises:
        CairnError: code ``tampered``, naming the first such file.
    """
    cards: dict[Path, Card] = {}
    for name, found in read.items():
        beside = card_beside(Path(name))
        if beside is None:
            continue
        if beside not in cards:
            cards[beside] = read_card(beside)
        made = cards[beside]["outputs"].get(name)
        if made is not None and made != found:
            raise CairnError(
                f"{name}: altered after it was made ({beside} says sha256 {made[:12]}…, found {found[:12]}…).",
                "Run `cairn restore`: it sets the file aside, and `snakemake` then makes it again.", "tampered",
            )  # fmt: skip
