"""All that one prediction needs, in one folder: model, task, settings of preprocessing, and what it takes of packages.

    bundle.json          what stands below, and the SHA-256 of every other file
    model.safetensors    the fine-tuned model
    resources/           archives and the template that preprocessing reads

A bundle is made of a row of a finished experiment and opened wherever it lies: in a container, or not.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.config.base import parse
from cairn.config.preprocess import PreprocessConfig
from cairn.errors import CairnError
from cairn.io.atomic import read_json, sha256, write_json
from cairn.predict.run import PredictJob
from cairn.preprocess.resources import BRAIN_FILE, Resources, brain_template

FORMAT = 1
CARD, MODEL, RESOURCES = "bundle.json", "model.safetensors", "resources"


@dataclass(frozen=True)
class Bundle:
    """A model that can be asked about raw scans.

    Attributes:
        job: what predicts: run, task, network, method, seed.
        preprocess: the settings that its training scans went through.
        model: the weights.
        resources: folder of what preprocessing needs of packages.
        title: of the run, for people.
        model_sha256: of the weights.
    """

    job: PredictJob
    preprocess: PreprocessConfig
    model: Path
    resources: Path
    title: str
    model_sha256: str


def bundle_of(results: Path, run: str, task: str, seed: int = 0) -> Bundle:
    """The model of a finished experiment, where it lies.

    Args:
        results: ``results/{experiment}``.
        run: row of the leaderboard.
        task: task.
        seed: repetition.

    Raises:
        CairnError: when the experiment has no such model, naming those that it has (code ``unknown``).
    """
    folder = results / "finetune" / run / task / f"seed-{seed}"
    card = folder / "run.json"
    if not card.is_file():
        known = sorted({"/".join(p.parts[-4:-2]) for p in (results / "finetune").glob("*/*/seed-*/run.json")})
        raise CairnError(
            f"{results}: no model of run '{run}' for task '{task}', seed {seed}.",
            f"It has: {', '.join(known) or 'none; run `snakemake --cores all`'}.", "unknown",
        )  # fmt: skip
    made = read_json(card)
    job = {name: made["config"][name] for name in PredictJob.model_fields if name in made["config"]}
    whole = read_json(results / "config.json")
    titles = {row["run"]: row["label"] for row in _board(results)}
    return Bundle(
        parse(PredictJob, job | {"seed": seed}), parse(PreprocessConfig, whole.get("preprocess", {})),
        folder / MODEL, results.parent / "resources/packages", titles.get(run, run),
        made["outputs"][(folder / MODEL).as_posix()],
    )  # fmt: skip


def _board(results: Path) -> list[dict[str, Any]]:
    path = results / "leaderboard/leaderboard.json"
    return list(read_json(path)["rows"]) if path.is_file() else []


def write_bundle(bundle: Bundle, out: Path) -> dict[str, str]:
    """Copy a bundle into the new folder ``out``; the SHA-256 of every file, by its name there.

    Raises:
        CairnError: when the model is not the one that the card names (code ``tampered``).
    """
    (out / RESOURCES).mkdir(parents=True)
    shutil.copyfile(bundle.model, out / MODEL)
    for archive in Resources(bundle.resources).archives:
        shutil.copyfile(archive, out / RESOURCES / archive.name)
    shutil.copyfile(brain_template(bundle.resources), out / RESOURCES / BRAIN_FILE)
    files = {p.relative_to(out).as_posix(): sha256(p) for p in sorted(out.rglob("*")) if p.is_file()}
    if files[MODEL] != bundle.model_sha256:
        reason = f"{bundle.model}: not the model that its card names."
        raise CairnError(reason, "Run `cairn restore`, then the workflow.", "tampered")
    write_json(out / CARD, {
        "format": FORMAT, "title": bundle.title, "job": bundle.job.model_dump(mode="json"),
        "preprocess": bundle.preprocess.model_dump(mode="json"), "files": files,
    })  # fmt: skip
    return files | {CARD: sha256(out / CARD)}


def open_bundle(folder: Path) -> Bundle:
    """A bundle where it lies; its files are held against their hashes.

    Raises:
        CairnError: when it is none, of another format, or a file was altered (code ``bundle``).
    """
    try:
        card: Mapping[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        formed = card["format"]
    except (OSError, ValueError, KeyError, TypeError):
        raise CairnError(
            f"{folder}: no bundle (no readable {CARD}).", "Make it by `cairn package`.", "bundle"
        ) from None
    if formed != FORMAT:
        raise CairnError(f"{folder}: format {formed}; this is {FORMAT}.", "Make it again by `cairn package`.", "bundle")
    for name, known in card["files"].items():
        if not (folder / name).is_file() or sha256(folder / name) != known:
            raise CairnError(f"{folder / name}: missing or altered.", "Make the bundle again.", "bundle")
    return Bundle(
        parse(PredictJob, card["job"]), parse(PreprocessConfig, card["preprocess"]), folder / MODEL,
        folder / RESOURCES, card["title"], card["files"][MODEL],
    )  # fmt: skip
