"""Embed a set of items with one frozen encoder: a slice encoder, a network of the methods table, or the pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cairn.bench.features import embed, write_features
from cairn.bench.items import Item, read_items
from cairn.config.bench import EmbedJob
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.nets.encoder import seeded
from cairn.nets.meta import read_meta
from cairn.nets.registry import build_encoder
from cairn.nets.slice_encoder import BATCH, SliceEncoder
from cairn.nets.volume_tokens import VolumeTokens
from cairn.nets.weights import load_weights
from cairn.slices.contract import int16_slope, network_input
from cairn.ssl.draws import derived_seed
from cairn.train.devices import describe, set_up


def embed_items(
    job: EmbedJob, items: Mapping[str, Path], weights: Sequence[Path], features: Path, threads: int
) -> dict[str, Any]:  # fmt: skip
    """Write the features of a data set's items; returns facts for the card.

    Args:
        job: network, input contract, seed.
        items: the set of items of each form.
        weights: the pretrained encoder, or none: then its random start, the same as a pretraining's.
        features: the file.
        threads: of torch.

    Raises:
        CairnError: for weights of another network, a bad item, or features that are not finite.
    """
    device = set_up(job.device, threads)
    with seeded(derived_seed(job.seed, "weights")):
        encoder = build_encoder(job.network)
    loaded: dict[str, Any] = {"start": "random"}
    made_by: dict[str, Any] = {
        "run": job.run, "seed": job.seed, "network": job.network.model_dump(mode="json"),
        "contract": job.contract.name, "weights": None,
    }  # fmt: skip
    if weights:
        meta = read_meta(weights[0])
        if meta.get("network") != made_by["network"]:
            reason = f"{weights[0]}: an encoder of network {meta.get('network')}, not {made_by['network']}."
            raise CairnError(reason, "Use the network section that it was made with.", code="weights")
        report = load_weights(weights[0], encoder, "encoder")
        loaded = {"start": "encoder", "encoder_step": meta.get("step"), "tensors": report.to_json()}
        made_by["weights"] = sha256(weights[0])
    encoder = encoder.eval().requires_grad_(False).to(device)

    flat = isinstance(encoder, SliceEncoder)

    def tokens(form: str) -> Any:
        source: Any = encoder if flat else VolumeTokens(encoder, job.patch_px, job.planes.get(form, "axial"))
        return source.tokens_of_volume

    def prepare(stack_SHW: npt.NDArray[np.float32]) -> Tensor:
        return network_input(stack_SHW, job.contract)[0]

    divided: dict[str, int] = {}

    def seen(form: str, path: Path) -> Iterator[Item]:
        for item in read_items(path):
            if (slope := int16_slope(item.stack, job.contract)) > 1:
                divided[f"{form}: {item.key}"] = slope
            yield item

    sets = {
        form: embed(seen(form, path), tokens(form), prepare, device, BATCH if flat else 1)
        for form, path in items.items()
    }
    found = write_features(features, sets, made_by)
    facts = {"encoder": loaded, "contract": job.contract.name, "forms": found, **describe(torch.device(device), True)}
    return facts | ({"divided_by": divided} if divided else {})
