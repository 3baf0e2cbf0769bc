"""Weights: safetensors with a JSON header, written atomically and loaded loudly. No pickle is ever read."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cairn.errors import CairnError
from cairn.io.atomic import atomic_path
from cairn.io.shard import read_safetensors_header
from cairn.nets.meta import pack_meta


@dataclass(frozen=True)
class LoadReport:
    """What happened to each tensor of a model and of a weights file."""

    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    reshaped: list[str]

    def to_json(self) -> dict[str, Any]:
        """Counts and names for the card; of the matched the number only."""
        return {**asdict(self), "matched": len(self.matched)}


def save_weights(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and, under the metadata key ``cairn``, ``meta`` as JSON; equal content gives equal bytes."""
    from safetensors.torch import save_file

    plain = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    with atomic_path(path, sum(t.nbytes for t in plain.values())) as temporary:
        save_file(plain, temporary, metadata=pack_meta(meta))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file.

    Raises:
        CairnError: when it is missing or unreadable.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_safetensors_header(path)
    try:
        return load_file(path)  # type: ignore[no-any-return]
    except (SafetensorError, OSError, ValueError) as error:
        raise CairnError(f"{path}: damaged ({error}).", "Delete it and run again.", code="truncated") from None


def load_weights(path: Path, module: nn.Module, name: str = "module") -> LoadReport:
    """Load a file into ``module``, exactly or not at all, and say so on standard error.

    Raises:
        CairnError: naming the tensors that are missing, unexpected or of another shape (code ``weights``).
    """
    own, given = module.state_dict(), read_tensors(path)
    report = LoadReport(
        matched=sorted(k for k in own if k in given and own[k].shape == given[k].shape),
        missing=sorted(k for k in own if k not in given),
        unexpected=sorted(k for k in given if k not in own),
        reshaped=sorted(k for k in own if k in given and own[k].shape != given[k].shape),
    )
    print(
        f"weights: {path}: {len(report.matched)} of {len(own)} tensors of the {name} matched, {len(report.missing)} "
        f"missing, {len(report.unexpected)} unexpected, {len(report.reshaped)} of another shape",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    wrong = {"missing": report.missing, "unexpected": report.unexpected, "of another shape": report.reshaped}
    if any(wrong.values()):
        parts = "; ".join(f"{k}: {', '.join(v[:6])}{' …' if len(v) > 6 else ''}" for k, v in wrong.items() if v)
        raise CairnError(
            f"{path}: these weights do not fit the {name} ({parts}).",
            "Use the network section that they were made with, or make them again.", code="weights",
        )  # fmt: skip
    module.load_state_dict(given)
    return report
