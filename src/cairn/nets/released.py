"""Weights as the makers of DINOv2 models release them: a folder with config.json and model.safetensors, local, pinned.

`raidium/curia` and `raidium/curia-2` are a stock `Dinov2Model` each. Nothing is downloaded and none of their code is
run: config.json is compared with the network's section, and the tensors are named as the installed `transformers` names
them, whose names have changed since these weights were written (queries, keys, values, the gated layer).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from cairn.config.networks import Dinov2Config
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.nets.dinov2 import transformers_config, without_torchvision

WEIGHTS, CONFIG = "model.safetensors", "config.json"
DOWNLOADED = ".cache/huggingface/download/{}.metadata"  # beside a downloaded file: commit, checksum, time
OWN = "dinov2."  # how the names of our encoder begin, and those of a released model with a head
# Matched within a block's part of the name.
NAMES = (
    (r"attention\.attention\.query\.", "attention.q_proj."),
    (r"attention\.attention\.key\.", "attention.k_proj."),
    (r"attention\.attention\.value\.", "attention.v_proj."),
    (r"attention\.output\.dense\.", "attention.o_proj."),
    (r"mlp\.weights_out\.", "mlp.down_proj."),
)
FUSED, HALVES = r"mlp\.weights_in\.", ("mlp.gate_proj.", "mlp.up_proj.")
FREE = ("drop_path_rate", "layerscale_value")  # of training alone: the weights do not depend on them


def weights_file(path: Path) -> Path:
    """The file of tensors of a ``weights`` entry, which may be a folder as released.

    Raises:
        CairnError: when the folder holds none (code ``missing``).
    """
    if path.is_dir() and not (path / WEIGHTS).is_file():
        remedy = "Name the folder of a whole download, or the file of the weights itself."
        raise CairnError(f"{path}: no {WEIGHTS} in this folder.", remedy, "missing")
    return path / WEIGHTS if path.is_dir() else path


def files_of(path: Path) -> list[Path]:
    """All files of a ``weights`` entry that an import reads: what its job depends on."""
    file = weights_file(path)
    return [file, *(p for p in (file.with_name(CONFIG), _note(file)) if file.name == WEIGHTS and p.is_file())]


def _note(file: Path) -> Path:
    return file.parent / DOWNLOADED.format(file.name)


def check_revision(file: Path, revision: str) -> str:
    """The file's SHA-256, once it is that of ``revision``; an empty one pins nothing.

    A commit is held against what a download with the hub's client leaves: a note beside the file, or the name of the
    folder in its cache. Where there is neither, the commit is taken at its word, and the card has the file's hash.

    Raises:
        CairnError: when it is another version (code ``weights``).
    """
    digest = sha256(file)
    found = {digest} if len(revision) == 64 else set(_commits(file))
    if revision and found and revision not in found:
        raise CairnError(
            f"{file}: not revision {revision}, which the mapping pins, but {' and '.join(sorted(found))}.",
            "Get that revision, or pin this one after you have looked at what changed.", "weights",
        )  # fmt: skip
    return digest


def _commits(file: Path) -> Iterator[str]:
    if _note(file).is_file():
        yield _note(file).read_text(encoding="utf-8").split("\n")[0].strip()
    if re.fullmatch("[0-9a-f]{40}", file.parent.name):
        yield file.parent.name


def check_config(file: Path, network: Dinov2Config) -> None:
    """Hold the config.json beside released weights against the network's section; a bare file has none to check.

    Raises:
        CairnError: naming every value that differs (code ``weights``).
    """
    path = file.with_name(CONFIG)
    if file.name != WEIGHTS or not path.is_file():
        return
    try:
        given: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kind = given["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise CairnError(f"{path}: no model's configuration ({error!r}).", "Download it again.", "weights") from None
    wanted = {k: v for k, v in transformers_config(network).items() if k not in FREE}
    differing = [
        f"{key} {given.get(key, default)} there, {wanted[key]} here"
        for key, default in _defaults().items()
        if key in wanted and given.get(key, default) != wanted[key]
    ]
    if "dinov2" not in kind:
        differing.insert(0, f"model_type {kind} there, dinov2 here")
    if differing:
        raise CairnError(
            f"{path}: the released model is not the network of this run ({'; '.join(differing)}).",
            "Make the network's section as the release has it.", "weights",
        )  # fmt: skip


def _defaults() -> dict[str, Any]:
    """What a config.json leaves out: it holds what differs from the library's defaults, or all."""
    with without_torchvision():
        from transformers.models.dinov2 import Dinov2Config as Settings

    defaults: dict[str, Any] = Settings().to_dict()
    return defaults


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Released tensors under the names of our encoder; what is none of the backbone's keeps its own.

    With ``dinov2.`` before its name or without; as older `transformers` wrote them (Curia's), or as the installed one.
    The gated layer's two matrices come one above the other, the gate first. Nothing is dropped: two tensors for one
    name would stop here, and what is missing or too much stops the import.

    Raises:
        CairnError: when two tensors want one name (code ``weights``).
    """
    out: dict[str, Tensor] = {}
    for name, tensor in sorted(tensors.items()):
        for new, part in _targets(name, tensor):
            if new in out:
                reason = f"Two foreign tensors for {new}, one of them {name}."
                raise CairnError(reason, "The file mixes two namings: get it from its maker again.", "weights")
            out[new] = part
    return out


def _targets(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    plain = name.removeprefix(OWN)
    if plain == name and not re.match(r"(embeddings|encoder|layernorm)\.", name):
        return [(name, tensor)]  # a head's
    for old, new in NAMES:
        plain = re.sub(old, new, plain)
    if not re.search(FUSED, plain):
        return [(OWN + plain, tensor)]
    if tensor.shape[0] % 2:
        raise CairnError(f"{name}: {tensor.shape[0]} rows are not two halves.", "Get the weights again.", "weights")
    return [(OWN + re.sub(FUSED, half, plain), part) for half, part in zip(HALVES, tensor.chunk(2), strict=True)]
