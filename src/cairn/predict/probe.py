"""A probe as two functions: what embeds a session, and the head that answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.networks import parse_network
from cairn.errors import CairnError
from cairn.io.atomic import atomic_path
from cairn.tasks.cases import Case

Array = npt.NDArray[Any]
EMBEDDINGS = "embeddings.parquet"
MASKS = "masks"
"""What lies beside a table of predictions: embeddings of a probe, the folder of masks."""


def deep_embedder(
    model: Path, meta: Mapping[str, Any], device: str, threads: int
) -> tuple[Callable[[Case], Array], dict[str, Array], dict[str, Any]]:
    """The frozen encoder's function, the head's arrays, and facts for the card.

    Raises:
        CairnError: when the encoder's tensors do not fit the network that the model names.
    """
    from cairn.nets.models import build_model
    from cairn.nets.weights import read_tensors
    from cairn.train.devices import describe, set_up
    from cairn.train.embed import Embedder

    where = set_up(device, threads)
    tensors = read_tensors(model)
    encoder = build_model(parse_network(meta["network"], str(model)), False, seed=0).encoder
    try:
        encoder.load_state_dict(_part(tensors, "encoder"))
    except RuntimeError as error:
        reason = f"{model}: these weights do not fit the network that they name ({str(error).splitlines()[0]})."
        raise CairnError(reason, "Fit the probe again.", code="weights") from None
    head = {name: tensor.numpy() for name, tensor in _part(tensors, "head").items()}
    return Embedder(encoder.to(where), where), head, describe(where, True)


def _part(tensors: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}


def write_embeddings(path: Path, found: Mapping[str, Array]) -> None:
    """Write embeddings as Parquet: ``subject``, ``session``, ``embedding`` (list of float32), sorted."""
    import pyarrow as pa
    from pyarrow import parquet

    keys = sorted(found)
    subjects, sessions = zip(*(key.split("/", 1) for key in keys), strict=True) if keys else ((), ())
    rows = [np.asarray(found[key], np.float32) for key in keys]
    columns = {
        "subject": pa.array(subjects, pa.string()), "session": pa.array(sessions, pa.string()),
        "embedding": pa.array(rows, pa.list_(pa.float32())),
    }  # fmt: skip
    with atomic_path(path) as temporary:
        parquet.write_table(pa.table(columns), temporary)


def read_embeddings(path: Path) -> dict[str, Array]:
    """Embeddings ``[E]`` by session key.

    Raises:
        CairnError: when the file is missing or no table of embeddings.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        rows = parquet.ParquetFile(path).read(["subject", "session", "embedding"]).to_pylist()
        return {f"{r['subject']}/{r['session']}": np.asarray(r["embedding"], np.float32) for r in rows}
    except (OSError, KeyError, pa.ArrowInvalid):
        raise CairnError(f"{path}: not a readable table of embeddings.", "Predict again.", "embeddings") from None
