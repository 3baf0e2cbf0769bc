"""Models of a finished experiment, as bundles where they lie."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cairn.challenge.bundle import MODEL, Bundle
from cairn.config.base import parse
from cairn.config.preprocess import PreprocessConfig
from cairn.errors import CairnError
from cairn.io.atomic import read_json
from cairn.io.sessions import INDEX_SUFFIX
from cairn.predict.run import PredictJob
from cairn.provenance.cards import card_beside, read_card


def bundle_of(results: Path, run: str, task: str, seed: int = 0) -> Bundle:
    """The model of a finished experiment, where it lies.

    How scans are preprocessed is read off the cards of the model's own training shards: whatever the configuration says
    by now, a case goes the way that they went.

    Args:
        results: ``results/{experiment}``.
        run: row of the leaderboard.
        task: task.
        seed: repetition.

    Raises:
        CairnError: when the experiment has no such model, naming those that it has (code ``unknown``), or an entry
            could not preprocess as its training did (``config``).
    """
    root = results.parent.parent  # what the names in cards start from
    model = results / "finetune" / run / task / f"seed-{seed}" / MODEL
    if not model.is_file():
        known = sorted({"/".join(p.parts[-4:-2]) for p in (results / "finetune").glob(f"*/*/seed-*/{MODEL}")})
        raise CairnError(
            f"{results}: no model of run '{run}' for task '{task}', seed {seed}.",
            f"It has: {', '.join(known) or 'none; run `snakemake --cores all`'}.", "unknown",
        )  # fmt: skip
    made = read_card(model.with_name("run.json"))
    settings = _settings([root / name for name in made["inputs"]])
    if settings.strip.method == "given":
        reason = f"{model}: its scans came with brain masks (strip method 'given'); a new case has none."
        raise CairnError(reason, "Train with another strip method.", "config")
    job = {name: made["config"][name] for name in PredictJob.model_fields if name in made["config"]}
    return Bundle(
        parse(PredictJob, job), settings, model,
        results.parent / "resources/packages", made["outputs"][model.relative_to(root).as_posix()],
    )  # fmt: skip


def tasks_of_run(results: Path, run: str, seed: int = 0) -> list[str]:
    """Tasks that a row of a finished experiment has a model for, by name.

    Raises:
        CairnError: when there is none (code ``unknown``).
    """
    tasks = sorted(p.parts[-3] for p in (results / "finetune" / run).glob(f"*/seed-{seed}/{MODEL}"))
    if not tasks:
        known = sorted({p.parts[-4] for p in (results / "finetune").glob(f"*/*/seed-{seed}/{MODEL}")})
        reason = f"{results}: no model of run '{run}', seed {seed}."
        raise CairnError(reason, f"Rows with models: {', '.join(known) or 'none'}.", "unknown")
    return tasks


def _settings(inputs: Iterable[Path]) -> PreprocessConfig:
    """How the shards among ``inputs`` were preprocessed: all of a model's alike, for they are of one data set.

    Raises:
        CairnError: when there is no card of a shard.
    """
    for path in inputs:
        card = card_beside(path) if path.name.endswith(INDEX_SUFFIX) else None
        if card is not None:
            config = {k: v for k, v in read_card(card)["config"].items() if k != "unknown_sequences"}
            return parse(PreprocessConfig, config, str(card))  # an entry's scans come with their sequence's name
    raise CairnError("The model's training shards are not here.", "Run `snakemake --cores all`.", "missing")


def best_run(results: Path, task: str) -> str:
    """The row that ranks first on a task, by the leaderboard; of equals the one that is better overall.

    Raises:
        CairnError: when there is no leaderboard, or it ranks no model of the experiment on the task.
    """
    board = results / "leaderboard/leaderboard.json"
    rows = read_json(board)["rows"] if board.is_file() else []
    found = [
        r for r in rows if r["ranked"] and task in r["ranks"] and (results / "finetune" / r["run"] / task).is_dir()
    ]
    if not found:
        raise CairnError(f"{board}: ranks no model on task '{task}'.", "Name a --run.", "unknown")
    return str(min(found, key=lambda r: (r["ranks"][task]["value"], r["place"]))["run"])
