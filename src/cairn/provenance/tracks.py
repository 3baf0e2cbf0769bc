"""Tracks, enforced from lineage: what each run really learned from, read back from the cards of its models.

The runs table says what a run should use; the cards say what its jobs read, by hash. Only these count here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from cairn.config.tracks import TracksJob
from cairn.errors import CairnError
from cairn.provenance.cards import read_card
from cairn.provenance.chain import is_hole, job_name
from cairn.provenance.lineage import Lineage, Source, Step

PREPARED = "preprocess_shard"
LEARNING = {"pretrain_encoder": "pretrained_on", "finetune_model": "finetuned_on", "fit_head": "finetuned_on"}
MODELS = ("finetune_model", "fit_head")
"""Stages that learn from labels: a whole model, or a head on the features of a frozen encoder."""
MAKE, EMBED = ("make_items", "import_items"), "embed_items"
"""Stages between shards and a head: they learn nothing, but a head reads a data set through them."""
IMPORT = "import_weights"
ENTRY = "predict_entry"
"""Stage of a sealed image: it has no model here, and its lineage ends with the image's content."""


@dataclass
class Origin:
    """What the models of one run rest on: data sets by stage, weights from elsewhere, and what cannot be told."""

    pretrained_on: set[str] = field(default_factory=set)
    finetuned_on: set[str] = field(default_factory=set)
    foreign_weights: dict[str, str] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain, sorted data."""
        return {
            "pretrained_on": sorted(self.pretrained_on), "finetuned_on": sorted(self.finetuned_on),
            "foreign_weights": dict(sorted(self.foreign_weights.items())),
            **({"images": dict(sorted(self.images.items()))} if self.images else {}),
        }  # fmt: skip


def check_tracks(job: TracksJob, cards: Sequence[Path]) -> dict[str, Any]:
    """What every run rests on, for the report.

    Args:
        job: rules of the tracks, and what each run may be fine-tuned on.
        cards: of all jobs that the inputs of a fine-tuning or of a head come from, back to the preprocessing, and of
            these themselves.

    Raises:
        CairnError: with code ``track``, naming every run that breaks the rules of its track, and where a chain has a
            gap, so that nothing can be said.
    """
    lineage = Lineage({path.as_posix(): read_card(path) for path in cards})
    origins = {
        run: sealed_origin(lineage, run) if row.sealed else origin_of(lineage, models_of(lineage, run))
        for run, row in job.runs.items()
    }
    breaches = [f"run '{run}' {said}" for run, origin in origins.items() for said in _breaches(job, run, origin)]
    if breaches:
        raise CairnError(
            f"Tracks: {'; '.join(breaches)}.",
            "Give the run the track that it belongs to, or make it again from what its track allows.", "track",
        )  # fmt: skip
    return {
        "tracks": {name: track.model_dump(mode="json") for name, track in job.tracks.items()},
        "runs": {run: {"track": job.runs[run].track, **origin.to_json()} for run, origin in origins.items()},
    }


def models_of(lineage: Lineage, run: str) -> list[str]:
    """Cards of the fine-tunings and heads of a run."""
    stages = ((path, card) for path, card in lineage.cards.items() if card["stage"] in MODELS)
    return [path for path, card in stages if card["config"]["run"] == run]


def sealed_origin(lineage: Lineage, run: str) -> Origin:
    """What is known of a sealed image: its content. What it learned from, its makers alone can tell."""
    origin = Origin()
    cards = [card for card in lineage.cards.values() if card["stage"] == ENTRY and card["config"]["run"] == run]
    for card in cards:
        name = str(card["facts"]["image"])
        if origin.images.setdefault(name, card["inputs"][name]) != card["inputs"][name]:
            origin.untold.append(f"was another image ({name}) on one task than on another")
    if not cards:
        origin.untold.append("was not run")
    return origin


def origin_of(lineage: Lineage, models: Iterable[str]) -> Origin:
    """What models rest on, from the cards of their chains."""
    origin = Origin()
    models = list(models)
    if not models:
        origin.untold.append("has no model")
    for step in lineage.chain(path for card in models for path in lineage.cards[card]["outputs"]):
        if step.facts["stage"] == IMPORT:
            origin.foreign_weights |= {s.path: s.sha256 for s in step.sources if s.state == "raw"}
        for source in step.sources if step.facts["stage"] in (*LEARNING, *MAKE, EMBED) else ():
            _note(origin, lineage, step, source)
    return origin


def _note(origin: Origin, lineage: Lineage, step: Step, source: Source) -> None:
    """One file that a learning job, or one that feeds it, read: of which data set it is, or that nobody knows."""
    stage = step.facts["stage"]
    if source.state == "altered":
        origin.untold.append(f"read {source.path} in {job_name(step.card)}, which was altered after it was made")
    elif is_hole(source, step.card):
        origin.untold.append(f"read {source.path} in {job_name(step.card)}, which no job made")
    elif source.card and stage in LEARNING:
        getattr(origin, LEARNING[stage]).update(_datasets(lineage, source.path, source.card))


def _datasets(lineage: Lineage, path: str, card: str) -> set[str]:
    """Data sets that a learning job reads in a file: those of a shard, of items, of items that were embedded."""
    facts = lineage.cards[card]
    if facts["stage"] == PREPARED:
        return {PurePosixPath(path).parent.name}
    if facts["stage"] not in (*MAKE, EMBED):
        return set()
    below = lineage.makers
    read = {(name, below[name]) for name in facts["inputs"] if name in below}
    found = {dataset for name, maker in read for dataset in _datasets(lineage, name, maker)}
    named = (facts["config"] or {}).get("dataset")  # items that were brought in whole rest on no shard
    return found or ({str(named)} if facts["stage"] in MAKE and named else set())


def _breaches(job: TracksJob, run: str, origin: Origin) -> list[str]:
    """What is against the rules of a run's track, in words."""
    row = job.runs[run]
    track, found = job.tracks[row.track], list(origin.untold)
    outside = origin.pretrained_on - set(track.pretrain_data) if track.pretrain_data else set()
    if outside:
        allowed = ", ".join(track.pretrain_data)
        found.append(f"was pretrained on {', '.join(sorted(outside))}; track '{row.track}' allows {allowed}")
    if origin.foreign_weights and not track.foreign_weights:
        found.append(f"starts from {', '.join(origin.foreign_weights)}, made elsewhere; track '{row.track}' forbids it")
    if origin.images and not track.takes_images:
        found.append(f"is a sealed image, and track '{row.track}' takes none")
    strange = origin.finetuned_on - set(row.labelled.values())
    if strange:
        found.append(f"was fine-tuned on {', '.join(sorted(strange))}, which is not its training set")
    return found
