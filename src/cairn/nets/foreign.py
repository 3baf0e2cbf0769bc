"""Foreign weights into one of our encoders: loudly, and exactly or not at all."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cairn.config.base import parse
from cairn.config.foreign import ImportJob, MappingConfig, read_mapping
from cairn.config.networks import Dinov2Config, NetworkConfig
from cairn.errors import CairnError
from cairn.io.atomic import remove_left_overs, sha256
from cairn.nets.encoder import seeded
from cairn.nets.registry import build_encoder
from cairn.nets.released import check_config, check_revision, renamed, weights_file
from cairn.nets.weights import read_tensors, save_weights
from cairn.ssl.draws import derived_seed

SHOWN = 8  # names of a kind of surprise


@dataclass
class ImportReport:
    """What happened to each tensor of either side."""

    matched: dict[str, str] = field(default_factory=dict)
    """Our name -> the foreign one."""
    inflated: dict[str, str] = field(default_factory=dict)
    """Our name -> how, and from how many channels."""
    new: list[str] = field(default_factory=list)
    """Ours that start at random, because the mapping says so."""
    dropped: list[str] = field(default_factory=list)
    """Foreign ones that are left, because the mapping says so."""
    cast: list[str] = field(default_factory=list)
    """Ours whose foreign numbers have another precision."""
    surprises: dict[str, list[str]] = field(default_factory=dict)
    """What nothing accounts for; with one of them nothing is written."""

    def surprise(self, kind: str, names: Iterable[str]) -> None:
        """Note what was not expected."""
        if found := list(names):
            self.surprises.setdefault(kind, []).extend(found)


def convert(
    foreign: Mapping[str, Tensor], own: Mapping[str, Tensor], mapping: MappingConfig
) -> tuple[dict[str, Tensor], ImportReport]:
    """The tensors of ``own``, with foreign numbers where there are some, and a report.

    Args:
        foreign: foreign tensors.
        own: the encoder's tensors at their random start.
        mapping: which is which.
    """
    report = ImportReport()
    source = _sources(foreign, own, mapping, report)
    out = dict(own)
    for name, tensor in own.items():
        if name in source:
            out[name] = _fitted(name, foreign[source[name]], tensor, mapping, report)
    report.matched = {n: s for n, s in source.items() if n in own}
    lacking = [n for n in own if n not in source]
    report.new = [n for n in lacking if _any(mapping.new, n)]
    report.surprise("missing", (n for n in lacking if n not in report.new))
    report.surprise("entry without effect: new", (p for p in mapping.new if not _takes(p, report.new)))
    report.surprise("entry without effect: inflate", (n for n in mapping.inflate if n not in report.inflated))
    return out, report


def _sources(
    foreign: Iterable[str], own: Mapping[str, Tensor], mapping: MappingConfig, report: ImportReport
) -> dict[str, str]:
    """Foreign name of each of ours."""
    source: dict[str, str] = {}
    used: set[str] = set()
    for name in sorted(foreign):
        rule = next((r for r in mapping.rename if re.fullmatch(r.match, name)), None)
        if name in mapping.exact:
            target = mapping.exact[name]
            used.add(name)
        elif rule:
            target = re.fullmatch(rule.match, name).expand(rule.to)  # type: ignore[union-attr]
            used.add(rule.match)
        elif _any(mapping.drop, name):
            report.dropped.append(name)
            continue
        else:
            target = name
        if target in source:
            report.surprise("two for one", [f"{source[target]} and {name} for {target}"])
        elif target not in own:
            report.surprise("unexpected", [name if target == name else f"{name} (as {target})"])
        source.setdefault(target, name)
    report.surprise("entry without effect: exact", (n for n in mapping.exact if n not in used))
    report.surprise("entry without effect: rename", (r.match for r in mapping.rename if r.match not in used))
    report.surprise("entry without effect: drop", (p for p in mapping.drop if not _takes(p, report.dropped)))
    return source


def _fitted(name: str, given: Tensor, own: Tensor, mapping: MappingConfig, report: ImportReport) -> Tensor:
    """A foreign tensor in our shape and precision."""
    how = mapping.inflate.get(name)
    if how and given.ndim == own.ndim and own.shape[1] == 1 < given.shape[1]:
        report.inflated[name] = f"{how} of {given.shape[1]} channels"
        given = _one_channel(given, how)
    if given.shape != own.shape:
        report.surprise("of another shape", [f"{name} {tuple(given.shape)} for {tuple(own.shape)}"])
    elif given.is_floating_point() != own.is_floating_point():
        report.surprise("of another type", [f"{name} {given.dtype} for {own.dtype}"])
    elif not given.isfinite().all():
        report.surprise("not finite", [name])
    elif not own.is_floating_point() and not torch.equal(given.to(own.dtype), own):
        report.surprise("a table of the architecture that differs", [name])
    if given.dtype != own.dtype:
        report.cast.append(name)
    return given.to(own.dtype)


def _one_channel(weight: Tensor, how: str) -> Tensor:
    """A convolution over several input channels as one over one."""
    if how == "first":
        return weight[:, :1]
    return weight.mean(dim=1, keepdim=True) if how == "mean" else weight.sum(dim=1, keepdim=True)


def _any(patterns: Iterable[str], name: str) -> bool:
    return any(re.fullmatch(p, name) for p in patterns)


def _takes(pattern: str, names: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, n) for n in names)


def import_weights(config: Mapping[str, Any], foreign: Path, mapping: Sequence[Path], weights: Path) -> dict[str, Any]:
    """Write foreign weights as an encoder, as pretraining writes its own; returns facts for the card.

    Args:
        config: an `ImportJob` as plain data.
        foreign: their file, safetensors; of kind dinov2 also a folder as released (`cairn.nets.released`).
        mapping: their mapping file, or none.
        weights: the encoder.

    Raises:
        CairnError: with code ``weights``, naming every tensor and entry that is not accounted for.
    """
    job = parse(ImportJob, config)
    rules = read_mapping(mapping[0]) if mapping else MappingConfig()
    with seeded(derived_seed(job.seed, "weights")):
        own = build_encoder(job.network).state_dict()
    file = weights_file(foreign)
    origin = _origin(file, rules, job.network)
    given = read_tensors(file)
    if isinstance(job.network, Dinov2Config):
        check_config(file, job.network)
        given = renamed(given)
    tensors, report = convert(given, own, rules)
    _say(foreign, len(own), report)
    if report.surprises:
        parts = "; ".join(
            f"{kind}: {', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"
            for kind, names in report.surprises.items()
        )
        raise CairnError(
            f"{foreign}: these weights do not become the encoder of run '{job.run}' ({parts}).",
            "Account for each in the mapping (docs/how-to/foreign-weights.md), or change the network.", "weights",
        )  # fmt: skip
    meta = {"kind": "encoder", "network": job.network.model_dump(mode="json"), "objective": origin, "step": 0}
    remove_left_overs(weights.parent)
    save_weights(weights, tensors, meta)
    facts = {**asdict(report), "of": len(own)}
    del facts["surprises"]
    return {"foreign": origin, "tensors": facts, "weights_sha256": sha256(weights)}


def _origin(file: Path, rules: MappingConfig, network: NetworkConfig) -> dict[str, str]:
    """Which weights they are, for the card."""
    digest = check_revision(file, rules.revision)
    origin = {"kind": "foreign", "file": file.name, "sha256": digest, "source": rules.source}
    if rules.revision:
        return origin | {"revision": rules.revision}
    if isinstance(network, Dinov2Config):
        remedy = f"Write the commit, or 'revision: {digest}', into the mapping (docs/how-to/foreign-weights.md)."
        raise CairnError(f"{file}: released weights without the revision that they are of.", remedy, "weights")
    return origin


def _say(path: Path, count: int, report: ImportReport) -> None:
    """What became of the tensors, on standard error."""
    print(
        f"import: {path}: {len(report.matched)} of {count} tensors of the encoder matched, {len(report.new)} new, "
        f"{len(report.dropped)} foreign ones dropped, {len(report.cast)} of another precision",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    for name, how in report.inflated.items():
        print(f"import: {name}: {how}", file=sys.stderr, flush=True)
    for kind, names in report.surprises.items():
        print(f"import: {kind}: {len(names)}", file=sys.stderr, flush=True)
