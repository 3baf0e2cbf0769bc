"""What goes into the crate of a run: its cards, the files they name, checked by hash, and the source that made them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.io.atomic import read_json
from cairn.io.members import is_member, member_sha256, open_member
from cairn.provenance.code import code_hash

Card = Mapping[str, Any]

RESULT_STAGES = ("leaderboard", "findings", "qc", "report", "findings_page")
"""Stages whose outputs a reader wants; with predictions for the user's own scans, they are what the run is for."""
SMALL = ("leaderboard", "report")
"""Folders of an experiment that are always copied; so are the configuration, scores and cards."""
CONFIG = "config.json"
SOURCES = (
    "Snakefile", "pyproject.toml", "rules", "workflow", "src/cairn", "config", "envs", "profiles",
    "docs/reference/contracts.md",
)  # fmt: skip
_NEEDED = ("stage", "code", "inputs", "outputs", "started", "finished")


@dataclass(frozen=True)
class Artefact:
    """A file that a card names, or a card."""

    path: str
    """As the cards name it: relative to the repository, or absolute for data outside."""
    sha256: str
    size: int
    """In bytes."""
    source: Path
    place: str
    """Where it lies in the crate; empty when it is only described."""


@dataclass(frozen=True)
class Run:
    """A finished experiment, read and checked."""

    root: Path
    """The repository's folder."""
    folder: str
    """The experiment's folder relative to it: ``results/{experiment}``."""
    cards: Mapping[str, Card]
    """By path relative to the repository, sorted."""
    artefacts: Mapping[str, Artefact]
    """Every file that a card names, and every card; by path, sorted."""
    source: tuple[str, ...]
    """Files of the workflow, relative to the repository, sorted."""

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return Path(self.folder).name

    @property
    def config(self) -> str:
        """The configuration that the run was started with, merged; it may not be there."""
        return f"{self.folder}/{CONFIG}"

    @property
    def raw(self) -> list[str]:
        """What came in from outside: files that no job made, and those that jobs without inputs brought in."""
        made = {path for card in self.cards.values() for path in card["outputs"]}
        read = {path for card in self.cards.values() for path in card["inputs"]}
        brought = {path for card in self.cards.values() if not card["inputs"] for path in card["outputs"]}
        return sorted((read - made - {self.config, *self.cards}) | brought)

    @property
    def results(self) -> dict[str, str]:
        """What the run was for: stage by path, sorted by path."""
        apply = f"{self.folder}/predict/applied/"
        found = {
            path: str(card["stage"])
            for card in self.cards.values()
            for path in card["outputs"]
            if card["stage"] in RESULT_STAGES or path.startswith(apply)
        }
        return dict(sorted(found.items()))


def read_run(results: Path, root: Path, with_data: bool) -> Run:
    """Read an experiment's cards and check every file that they name.

    Args:
        results: folder of the experiment, ``results/{experiment}``.
        root: the repository's folder.
        with_data: copy everything into the crate, not only what is small.

    Raises:
        CairnError: code ``lineage``, when there is no leaderboard, or naming the file that is missing, altered, or
            was made by other code than the present.
    """
    cards = read_cards(results, root)
    if not any(card["stage"] == "leaderboard" for card in cards.values()):
        raise _broken(f"{results}: no leaderboard has been made.", "Run `snakemake` to the end, then export.")
    _check_code(cards, root)
    folder = results.relative_to(root).as_posix()
    artefacts = _artefacts(cards, root, folder, with_data)
    return Run(root, folder, cards, artefacts, tuple(source_files(root)))


def read_cards(results: Path, root: Path) -> dict[str, Card]:
    """Cards of an experiment, and of the packages that it uses, by path relative to the repository."""
    own = {p.relative_to(root).as_posix(): _card(p) for p in _card_files(results)}
    read = {path for card in own.values() for path in card["inputs"]}
    packages = {p.relative_to(root).as_posix(): _card(p) for p in _card_files(results.parent / "resources")}
    used = {path: card for path, card in packages.items() if read & set(card["outputs"])}
    return dict(sorted((own | used).items()))


def source_files(root: Path) -> list[str]:
    """Files of the workflow, relative to the repository, sorted; nothing that a run leaves behind."""
    if not (root / "Snakefile").is_file():
        raise _broken(f"{root}: no Snakefile here.", "Export from the folder of the repository.")
    found = [p for name in SOURCES for p in ([root / name] if (root / name).is_file() else (root / name).rglob("*"))]
    names = [p.relative_to(root) for p in found if p.is_file()]
    return sorted(n.as_posix() for n in names if not any(part.startswith((".", "__pycache__")) for part in n.parts))


def _card_files(folder: Path) -> list[Path]:
    found = folder.rglob("*run.json") if folder.is_dir() else []
    return sorted(p for p in found if f".{p.name}".endswith(".run.json") and ".state" not in p.parts)


def _card(path: Path) -> Card:
    try:
        card = read_json(path)
    except ValueError:
        card = None
    if not isinstance(card, dict) or not all(key in card for key in _NEEDED):
        raise _broken(f"{path}: not a readable card.", "Run the stage that makes it again.")
    return card


def _check_code(cards: Mapping[str, Card], root: Path) -> None:
    """The crate holds the present source: refuse results that other source made."""
    known: dict[str, str] = {}
    for path, card in cards.items():
        stage = str(card["stage"])
        script = root / "workflow" / "scripts" / f"{stage}.py"
        if not script.is_file():
            raise _broken(f"{path}: its script, {script}, is missing.", "Check out the commit that made the results.")
        known.setdefault(stage, code_hash(script, root / "src"))
        if card["code"] != known[stage]:
            raise _broken(
                f"{path}: made by other code than the present ({stage}: {card['code']}, now {known[stage]}).",
                "Run `snakemake` again; or remove the card, if the experiment no longer has this run.",
            )


def _artefacts(cards: Mapping[str, Card], root: Path, folder: str, with_data: bool) -> dict[str, Artefact]:
    claims: dict[str, dict[str, str]] = {path: {} for path in cards}  # by file: which hash is claimed by which card
    if (root / folder / CONFIG).is_file():
        claims[f"{folder}/{CONFIG}"] = {}
    for card_path, card in cards.items():
        for path, digest in [*card["inputs"].items(), *card["outputs"].items()]:
            claims.setdefault(path, {})[digest] = card_path
    paths = sorted(claims)
    sources = [root / path for path in paths]
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run
        digests = dict(zip(paths, pool.map(_digest, sources), strict=True))
    _check_claims(claims, digests)
    return {
        path: Artefact(path, digests[path], _size(source), source, _place(path, copied))
        for path, source in zip(paths, sources, strict=True)
        for copied in [not is_member(source) and (with_data or path in cards or _is_small(path, folder))]
    }


def _digest(path: Path) -> str:
    try:
        return member_sha256(path)
    except CairnError:
        return ""


def _size(path: Path) -> int:
    with open_member(path) as opened:
        return opened.size


def _check_claims(claims: Mapping[str, Mapping[str, str]], digests: Mapping[str, str]) -> None:
    wrong = []
    for path, said in claims.items():
        for digest, card in said.items():
            if not digests[path]:
                wrong.append(f"{path} is missing ({card} names it)")
            elif digest != digests[path]:
                wrong.append(f"{path} is not what {card} says (sha256 {digest[:12]}…, found {digests[path][:12]}…)")
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise _broken(f"{'; '.join(sorted(wrong)[:3])}{more}.", "Run `snakemake` again, or `dvc pull`, then export.")


def _is_small(path: str, folder: str) -> bool:
    inside = Path(path).relative_to(folder).parts if Path(path).is_relative_to(folder) else ("",)
    return inside[0] in (CONFIG, *SMALL) or inside[-1] == "scores.parquet"


def _place(path: str, copied: bool) -> str:
    """Place in the crate: the same path; data from outside the repository goes under ``data/``, apart by its path."""
    if not copied:
        return ""
    outside = os.path.isabs(path) or ".." in Path(path).parts
    return f"data/{hashlib.sha256(path.encode()).hexdigest()[:16]}/{Path(path).name}" if outside else path


def _broken(reason: str, remedy: str) -> CairnError:
    return CairnError(reason, remedy, "lineage")
