"""One session from raw scans to tensors: THE function that pretraining, fine-tuning and inference share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cairn.config.preprocess import PreprocessConfig
from cairn.io.boxes import box_of
from cairn.io.geometry import mask_to_grid
from cairn.io.shard import PreprocessedSession, SequenceGeometry, SessionGeometry
from cairn.preprocess.align import (
    Coarse,
    affine_to_template,
    box_centre,
    coarse_reference,
    rigid_part,
    rigid_to_reference,
    upright,
)
from cairn.preprocess.bias import field_on_grid
from cairn.preprocess.grid import make_grid, to_grid
from cairn.preprocess.ledger import Ledger, Rejection, SessionFailed
from cairn.preprocess.native import Array, Mask, NativeScan, Volume, air, read_native
from cairn.preprocess.normalise import normalise, raw
from cairn.preprocess.numbers import brain_numbers, head_numbers, outside_share, rigid_numbers, sequence_numbers
from cairn.preprocess.resources import Resources
from cairn.preprocess.stripping import brain_mask


@dataclass(frozen=True)
class SessionResult:
    """What `preprocess_session` gives.

    Attributes:
        session: volumes (float16-exact), mask and geometry.
        reference: the reference sequence.
        native_mask: the brain on the reference's grid, in the order of its file.
        native_affine: 4x4 of that file.
        numbers: for quality control; plain JSON.
        rejected: scans that could not be used.
        pictures: by sequence, the volume with the configured rim around the brain, not normalised, for figures.
        seconds: wall time by step.
    """

    session: PreprocessedSession
    reference: str
    native_mask: Mask
    native_affine: Array
    numbers: dict[str, Any]
    rejected: list[Rejection]
    pictures: dict[str, Volume]
    seconds: dict[str, float]


@dataclass(frozen=True)
class _Reference:
    name: str
    scan: NativeScan
    mask: Mask
    method: str
    affine: Array  # template world mm to reference world mm
    coarse: Coarse


@dataclass(frozen=True)
class _Grid:
    """The session's grid: ``to_reference`` maps its world to the reference's; ``shown`` is the brain with the rim."""

    shape: tuple[int, int, int]
    affine: Array
    to_reference: Array
    mask: Mask
    shown: Mask


@dataclass(frozen=True)
class _Made:
    volume: Volume
    picture: Volume
    geometry: SequenceGeometry
    numbers: dict[str, Any]


def preprocess_session(
    files: Mapping[str, Path],
    config: PreprocessConfig,
    resources: Resources,
    subject: str = "subject",
    session: str = "1",
    given: Mapping[str, Path] | None = None,
) -> SessionResult:
    """Preprocess one session.

    A bad scan is rejected by name and the rest goes on; when the first reference is bad, the next sequence serves.

    Args:
        files: the scans by sequence.
        config: settings; nothing in them knows a task.
        resources: templates and networks.
        subject: identifier.
        session: identifier.
        given: brain mask files by sequence, for the strip method ``given``.

    Raises:
        SessionFailed: when no scan can be used.
        CairnError: when a resource is missing (code ``resource``).
    """
    ledger = Ledger()
    waiting = reference_order(files, config)
    reference = None
    while waiting and reference is None:
        name = waiting.pop(0)
        mask_file = (given or {}).get(name)
        work = partial(_as_reference, ledger, name, files[name], mask_file, config, resources)
        reference = ledger.guarded(name, files[name], work)
    if reference is None:
        raise SessionFailed(ledger.rejected)
    with ledger.clock("grid"):
        grid = _make_grid(reference, config, resources)
    made: dict[str, _Made] = {}
    for name in [reference.name, *waiting]:
        one = ledger.guarded(name, files[name], partial(_one, ledger, name, files[name], reference, grid, config))
        if one is not None:
            made[name] = one
    if not made:
        raise SessionFailed(ledger.rejected)
    return _result(subject, session, reference, grid, made, ledger, resources)


def reference_order(files: Mapping[str, Path], config: PreprocessConfig) -> list[str]:
    """Sequences of a session in the order in which they are tried as reference; a repeat ranks after the first."""
    rank = {name: i for i, name in enumerate(config.reference_order)}
    return sorted(files, key=lambda n: (rank.get(n.split("_")[0], len(rank)), n))


def _as_reference(
    ledger: Ledger, name: str, path: Path, mask_file: Path | None, config: PreprocessConfig, resources: Resources
) -> _Reference:
    with ledger.clock("read"):
        scan = read_native(path, config.guard)
    with ledger.clock("strip"):
        mask, method = brain_mask(scan, config, resources, mask_file)
    with ledger.clock("template affine"):
        if method == "none":  # there is no brain to lay onto the template's
            affine = upright(scan, mask)
        else:
            affine = affine_to_template(scan, mask, resources.brain, config.registration)
    with ledger.clock("rigid"):
        coarse = coarse_reference(scan, mask, config.registration, head=method == "none")
    return _Reference(name, scan, mask, method, affine, coarse)


def _make_grid(reference: _Reference, config: PreprocessConfig, resources: Resources) -> _Grid:
    from scipy import ndimage

    scan = reference.scan
    if config.grid.align == "none":
        centre, to_reference = box_centre(scan, reference.mask), np.eye(4)
    else:
        centre = resources.brain.centre
        to_reference = rigid_part(reference.affine, centre) if config.grid.align == "rigid" else reference.affine
    shape, affine = make_grid(config.grid, centre)
    alone = SequenceGeometry(scan.stored_shape, scan.stored_affine, to_reference)
    geometry = SessionGeometry(shape, affine, {reference.name: alone})
    mask = mask_to_grid(scan.stored_order(reference.mask), geometry, reference.name)
    rim = round(config.figure_rim_mm / config.grid.spacing_mm)
    shown = ndimage.binary_dilation(mask, iterations=rim) if rim else mask
    return _Grid(shape, affine, to_reference, mask, shown)


def _one(ledger: Ledger, name: str, path: Path, reference: _Reference, grid: _Grid, config: PreprocessConfig) -> _Made:
    """One sequence onto the grid: its rigid transform, one interpolation, normalised."""
    numbers: dict[str, Any] = {}
    if name == reference.name:
        scan, to_native = reference.scan, grid.to_reference
    else:
        with ledger.clock("read"):
            scan = read_native(path, config.guard)
        with ledger.clock("rigid"):
            rigid = rigid_to_reference(reference.coarse, scan, reference.affine, config.registration)
        to_native = rigid.matrix @ grid.to_reference
        numbers = rigid_numbers(rigid, reference.coarse.centre)
    whole = reference.method == "none"
    with ledger.clock("resample"):
        box = tuple(slice(0, n) for n in grid.shape) if whole else box_of(grid.shown, 1)
        part, covered = to_grid(scan.data, scan.affine, grid.affine, to_native, box, config.grid.order)
    if config.n4.enabled:
        with ledger.clock("N4"):
            part /= field_on_grid(scan, grid.mask, grid.affine, to_native, box, config)
    with ledger.clock("normalise"):
        brain, outside = grid.mask[box], 0.0
        inside = covered if whole else brain & covered
        if config.normalise.method == "none":
            outside = air(name)
            volume = raw(part, inside, outside)
        else:
            volume = normalise(part, inside, config.normalise)
        numbers |= sequence_numbers(part, brain, covered, scan)
        picture = np.where(grid.shown[box], part, np.float32(0))
    geometry = SequenceGeometry(scan.stored_shape, scan.stored_affine, to_native)
    return _Made(_placed(volume, box, grid.shape, outside), _placed(picture, box, grid.shape, 0), geometry, numbers)


def _placed(part: Volume, box: tuple[slice, ...], shape: tuple[int, int, int], outside: float) -> Volume:
    """A grid of ``outside`` with ``part`` in its ``box``."""
    out = np.full(shape, outside, np.float32)
    out[box] = part
    return out


def _result(
    subject: str, session: str, reference: _Reference, grid: _Grid, made: Mapping[str, _Made], ledger: Ledger,
    resources: Resources,
) -> SessionResult:  # fmt: skip
    names = sorted(made)
    if reference.method == "none":
        of_head = head_numbers(reference.scan, reference.mask)
    else:
        of_head = brain_numbers(reference.scan, reference.mask, reference.affine, resources.brain)
    scan, back = reference.scan, np.linalg.inv(grid.to_reference)
    numbers = {
        "reference": reference.name,
        "strip": reference.method,
        "native_mask_shape": list(scan.stored_shape),
        "outside_grid": outside_share(reference.mask, np.linalg.inv(grid.affine) @ back @ scan.affine, grid.shape),
        "affine": reference.affine.tolist(),
        "centre_mm": [round(float(c), 2) for c in reference.coarse.centre],
        **of_head,
        "sequences": {n: made[n].numbers for n in names},
    }
    geometry = SessionGeometry(grid.shape, grid.affine, {n: made[n].geometry for n in names})
    return SessionResult(
        PreprocessedSession(subject, session, {n: made[n].volume for n in names}, grid.mask, geometry),
        reference.name, scan.stored_order(reference.mask), scan.stored_affine, numbers, ledger.rejected,
        {n: made[n].picture for n in names}, ledger.seconds,
    )  # fmt: skip
