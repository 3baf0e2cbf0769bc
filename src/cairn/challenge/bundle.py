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
from cairn.io.atomic import sha256, write_json
from cairn.predict.run import PredictJob
from cairn.preprocess.resources import ARCHIVE_OF, BRAIN_FILE, brain_template

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
        model_sha256: of the weights.
    """

    job: PredictJob
    preprocess: PreprocessConfig
    model: Path
    resources: Path
    model_sha256: str


def write_bundle(bundle: Bundle, out: Path) -> dict[str, str]:
    """Copy a bundle into the new folder ``out``; the SHA-256 of every file, by its name there.

    Raises:
        CairnError: when the model is not the one that the card names (code ``tampered``), or an archive that
            preprocessing needs is not there (``resource``).
    """
    (out / RESOURCES).mkdir(parents=True)
    shutil.copyfile(bundle.model, out / MODEL)
    archive = ARCHIVE_OF.get(bundle.preprocess.strip.method)
    if archive and not (bundle.resources / archive).is_file():
        raise CairnError(f"{bundle.resources / archive}: not there.", "Run the target 'fetch'.", "resource")
    if archive:
        shutil.copyfile(bundle.resources / archive, out / RESOURCES / archive)
    shutil.copyfile(brain_template(bundle.resources), out / RESOURCES / BRAIN_FILE)
    files = {p.relative_to(out).as_posix(): sha256(p) for p in sorted(out.rglob("*")) if p.is_file()}
    if files[MODEL] != bundle.model_sha256:
        reason = f"{bundle.model}: not the model that its card names."
        raise CairnError(reason, "Run `cairn restore`, then the workflow.", "tampered")
    write_json(out / CARD, {
        "format": FORMAT, "job": bundle.job.model_dump(mode="json"),
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
        folder / RESOURCES, card["files"][MODEL],
    )  # fmt: skip
