"""One shard of the cohort on disk: raw scans and their index, and the truth apart from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.cohort.plan import MASK_LABELS, MASK_SEQUENCE, Visit, visits
from cairn.config.cohort import CohortConfig, CohortSet
from cairn.io.atomic import sha256, write_json
from cairn.io.nifti import write_scan
from cairn.io.sharding import shard_name, shard_of
from cairn.io.tables import INDEX_COLUMNS, LABEL_COLUMNS, write_table

BIDS_FOLDER = {"DWI": "dwi", "ADC": "dwi", "CT": "ct"}


@dataclass(frozen=True)
class Made:
    """Rows and truth of one session."""

    index: list[dict[str, Any]]
    label: dict[str, Any] | None
    anatomy: dict[str, Any]
    masks: list[str]


def make_shard(
    config: CohortConfig,
    dataset: str,
    spec: CohortSet,
    shard: int,
    shards: int,
    donors: Sequence[Path],
    raw: Path,
    truth: Path,
) -> list[Path]:
    """Make one shard of a data set: raw scans, index, truth.

    Args:
        config: the cohort.
        dataset: the data set's name; with the set's seed and the subject it decides every voxel.
        spec: the data set.
        shard: which of ``shards``; only sessions whose hash says so are made.
        shards: number of shards.
        donors: files ``{donor}.safetensors`` of the set's donors.
        raw: root of the data set's raw scans, ``raw/{dataset}``.
        truth: root of its truth, ``truth/{dataset}``.

    Returns:
        Everything made: the shard's index, anatomy and labels, then scans and masks.

    Raises:
        CairnError: when the set asks for unknown sites or foreign donors, or a donor file is missing.
    """
    import torch

    from cairn.cohort.anatomy import LoadedDonor
    from cairn.cohort.donor import load_donor

    torch.set_num_threads(1)  # shards run side by side; sums over threads would depend on their number
    chosen = [v for v in visits(config, dataset, spec) if shard_of(v.subject, v.session, shards) == shard]
    files_of = {path.stem: path for path in donors}
    made: dict[str, Made] = {}
    donor: LoadedDonor | None = None
    for visit in sorted(chosen, key=lambda v: (v.donor, v.key)):  # one donor in memory at a time
        if donor is None or donor.name != visit.donor:
            donor = LoadedDonor(load_donor(files_of[visit.donor]))
        made[visit.key] = _make_session(config, visit, spec, donor, raw, truth)
    ordered = [made[key] for key in sorted(made)]
    name = shard_name(shard)
    files = [raw / "index" / f"{name}.tsv", truth / "anatomy" / f"{name}.json", truth / "labels" / f"{name}.tsv"]
    write_table(files[0], (row for m in ordered for row in m.index), INDEX_COLUMNS)
    write_json(files[1], {key: made[key].anatomy for key in sorted(made)})
    write_table(files[2], (m.label for m in ordered if m.label is not None), LABEL_COLUMNS)
    scans = [raw / row["path"] for m in ordered for row in m.index]
    return [*files, *scans, *(truth / mask for m in ordered for mask in m.masks)]


def _make_session(config: CohortConfig, visit: Visit, spec: CohortSet, donor: Any, raw: Path, truth: Path) -> Made:
    from cairn.cohort.ct import acquire_ct, attenuation
    from cairn.cohort.radiology import targets
    from cairn.cohort.scanner import acquire, poses, prescribe
    from cairn.cohort.signal import signal
    from cairn.cohort.subject import make_anatomy

    site = config.sites[visit.site]
    anatomy = make_anatomy(donor, visit, config.voxel_mm)
    pose = poses(visit, site)
    grids: dict[str, Any] = {}
    rows = []
    for sequence in visit.sequences:
        protocol = spec.protocol(sequence, site.protocols[sequence])
        grid = prescribe(anatomy, visit, site, sequence, protocol, config.coarsen, pose[visit.reference])
        if sequence == "CT":
            scan = acquire_ct(anatomy, attenuation(anatomy, visit, site), visit, site, grid, pose[sequence])
        else:
            image = signal(anatomy, visit, site, sequence)
            scan = acquire(anatomy, image, visit, site, sequence, grid, pose[sequence])
        path = Path(_folder(visit)) / BIDS_FOLDER.get(sequence, "anat") / f"{_stem(visit)}_{sequence}.nii.gz"
        write_scan(raw / path, scan, grid.affine)
        grids[sequence] = grid
        rows.append(_index_row(visit, spec, sequence, path, raw, grid))
    label, entry, masks = _truth(visit, spec, site, anatomy, grids, pose, truth)
    if spec.role == "radiology":
        entry["targets"] = targets(anatomy, visit, config.radiology)
        entry["masks"] = _finding_masks(visit, anatomy, grids, pose, truth)
        masks += [path for paths in entry["masks"].values() for path in paths.values()]
    return Made(sorted(rows, key=lambda r: str(r["sequence"])), label, entry, masks)


def _index_row(visit: Visit, spec: CohortSet, sequence: str, path: Path, raw: Path, grid: Any) -> dict[str, Any]:
    import nibabel as nib

    return {
        "dataset": visit.dataset, "subject": visit.subject, "session": visit.session, "sequence": sequence,
        "path": path.as_posix(), "sha256": sha256(raw / path), "shape": "x".join(map(str, grid.shape)),
        "zooms": "x".join(f"{z:.4g}" for z in np.linalg.norm(grid.affine[:3, :3], axis=0)),
        "orientation": "".join(nib.aff2axcodes(grid.affine)),  # type: ignore[attr-defined]
        "sex": visit.sex, "site": visit.site, "split": spec.split,
    }  # fmt: skip


def _truth(
    visit: Visit, spec: CohortSet, site: Any, anatomy: Any, grids: dict[str, Any], pose: dict[str, Any], truth: Path
) -> tuple[dict[str, Any] | None, dict[str, Any], list[str]]:
    """Write the masks of a session; return its label row, its entry in the anatomy file, and the masks' paths."""
    import torch

    from cairn.cohort.scanner import distortion, take

    reference = visit.reference
    brain = take(anatomy, anatomy.brain[None], grids[reference], pose[reference], distortion(site, reference))[0]
    brain_path = f"{_folder(visit)}/{_stem(visit)}_desc-brain_mask.nii.gz"
    write_scan(truth / brain_path, (brain.numpy() >= 0.5).astype(np.uint8), grids[reference].affine)
    lesions = [anatomy.overlays[name] for name in MASK_LABELS.get(visit.finding, ())]
    mask, mask_sequence = None, None
    if lesions and MASK_SEQUENCE[visit.finding] in grids:
        mask_sequence = MASK_SEQUENCE[visit.finding]
        on = grids[mask_sequence]
        seen = take(anatomy, torch.stack(lesions), on, pose[mask_sequence], distortion(site, mask_sequence)).numpy()
        mask = f"{_folder(visit)}/{_stem(visit)}_desc-{visit.finding}_mask.nii.gz"
        write_scan(truth / mask, label_map(seen), on.affine)
    masks = [brain_path] if mask is None else [brain_path, mask]
    back = np.linalg.inv(pose[reference])
    entry = {
        "reference": reference, "brain_mask": brain_path, "age": round(visit.age_years, 3), "donor": visit.donor,
        "site": visit.site, "finding": visit.finding, "ventricle_ml": round(anatomy.ventricle_ml, 3),
        "lesion_ml": round(sum(anatomy.ml(lesion) for lesion in lesions), 3) if lesions else 0.0,
        "motion": {s: (pose[s] @ back).tolist() for s in sorted(pose)},
    }  # fmt: skip
    if spec.role == "pretrain":
        return None, entry, masks
    value: float | None = visit.label
    if spec.role in ("age", "population", "radiology"):
        value = round(visit.age_years, 2)
    label = {"subject": visit.subject, "session": visit.session, "value": value, "mask": mask}
    return {**label, "mask_sequence": mask_sequence}, entry, masks


def _finding_masks(
    visit: Visit, anatomy: Any, grids: dict[str, Any], pose: dict[str, Any], truth: Path
) -> dict[str, dict[str, str]]:
    """Write the structures and every finding there is on the grids of CT and T1w; their paths by name and sequence."""
    import torch

    from cairn.cohort.radiology import lesion_maps
    from cairn.cohort.scanner import take
    from cairn.cohort.structures import structure_labels, structure_shares

    lesions, structures = lesion_maps(anatomy), structure_shares(anatomy)
    paths: dict[str, dict[str, str]] = {"structures": {}, **{name: {} for name in lesions}}
    for sequence in ("CT", "T1w"):
        middle = replace(grids[sequence], profile=(0.0,))  # as one outlines: what the middle of the slice shows
        on = {"structures": structure_labels(take(anatomy, structures, middle, pose[sequence]).numpy())}
        if lesions:
            seen = take(anatomy, torch.stack(list(lesions.values())), grids[sequence], pose[sequence]).numpy()
            on |= {name: label_map(share[None]) for name, share in zip(lesions, seen, strict=True)}
        for name, labels in on.items():
            path = f"{_folder(visit)}/{_stem(visit)}_space-{sequence}_desc-{name}_mask.nii.gz"
            write_scan(truth / path, labels, grids[sequence].affine)
            paths[name][sequence] = path
    return paths


def label_map(shares_KXYZ: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Label of each voxel of a scan: that of the largest share, from one half on.

    Where nothing fills a voxel by half (thin structures, thick slices), from half of the largest share of its label on.
    """
    cut = [share >= min(0.5, 0.5 * float(share.max())) for share in shares_KXYZ]
    largest = shares_KXYZ.argmax(axis=0)
    return np.asarray(np.sum([(k + 1) * (c & (largest == k)) for k, c in enumerate(cut)], axis=0), np.uint8)


def _folder(visit: Visit) -> str:
    return f"sub-{visit.subject}/ses-{visit.session}"


def _stem(visit: Visit) -> str:
    return f"sub-{visit.subject}_ses-{visit.session}"
