"""Guards: what lies on disk – bitwise repeatable, whatever the shards; headers, masks, labels and truth that agree."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cairn.cohort.plan import visits
from cairn.cohort.scanner import poses
from cairn.cohort.shard import make_shard
from cairn.config.cohort import CohortSet
from cairn.io.atomic import sha256
from cairn.io.nifti import read_mask, read_scan
from cairn.io.tables import INDEX_COLUMNS, LABEL_COLUMNS, read_table


def make(config, spec, donors, out: Path, shards: int = 1, name: str = "infarct_ft") -> dict[str, str]:
    files = sorted(donors.glob("*.safetensors"))
    for shard in range(shards):
        make_shard(config, name, spec, shard, shards, files, out / "raw", out / "truth")
    return {
        p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in out.rglob("*.nii.gz")
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(config, infarcts, donors, tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    return out, make(config, infarcts, donors, out)


def rows_of(out: Path) -> list[dict[str, str]]:
    return read_table(out / "raw/index/0000.tsv", INDEX_COLUMNS)


def truth_of(out: Path) -> dict:
    return json.loads((out / "truth/anatomy/0000.json").read_text())


def test_same_seed_gives_the_same_bytes_whatever_the_number_of_shards(made, config, infarcts, donors, tmp_path):
    assert make(config, infarcts, donors, tmp_path, shards=3) == made[1]


def test_another_seed_gives_other_heads(made, config, infarcts, donors, tmp_path):
    other = make(config, infarcts.model_copy(update={"seed": 1, "positives": 1, "negatives": 0}), donors, tmp_path)
    assert not set(other.values()) & set(made[1].values())


def test_index_tells_the_truth_about_every_file(made):
    out, _ = made
    rows = rows_of(out)
    assert [(r["subject"], r["sequence"]) for r in rows] == sorted((r["subject"], r["sequence"]) for r in rows)
    for row in rows:
        path = out / "raw" / row["path"]
        scan = read_scan(path)
        assert sha256(path) == row["sha256"]
        assert "x".join(map(str, scan.data.shape)) == row["shape"]
        assert [float(z) for z in row["zooms"].split("x")] == pytest.approx(scan.zooms, rel=1e-3)
        assert "".join(nib.aff2axcodes(scan.affine)) == row["orientation"]
        assert (row["age"], row["split"]) == ("n/a", "finetune")
        assert nib.load(path).get_data_dtype() == np.int16


def test_headers_keep_the_protocols_promise(made, config):
    """Orientation code, oblique axes, thick slices along the third voxel axis."""
    out, _ = made
    for row in rows_of(out):
        protocol = config.sites[row["site"]].protocols[row["sequence"]]
        affine = nib.load(out / "raw" / row["path"]).affine
        zooms = np.linalg.norm(affine[:3, :3], axis=0)
        plane = protocol.in_plane_mm * config.coarsen
        assert zooms == pytest.approx([plane, plane, max(protocol.slice_mm, plane) + protocol.gap_mm], rel=1e-4)
        axes = affine[:3, :3] / zooms
        assert axes.T @ axes == pytest.approx(np.eye(3), abs=1e-5)
        assert row["orientation"] == protocol.orientation
        assert np.abs(axes).max(0).min() < 0.99999  # oblique: no axis is a scanner axis


def test_infarcts_are_bright_on_dwi_and_dark_on_adc_in_the_mask(made):
    out, _ = made
    labels = {r["subject"]: r for r in read_table(out / "truth/labels/0000.tsv", LABEL_COLUMNS)}
    assert sorted(r["value"] for r in labels.values()) == ["0", "0", "1", "1"]
    for subject, row in labels.items():
        assert (row["value"] == "1") == (row["mask"] != "n/a")
        if row["mask"] == "n/a":
            continue
        assert row["mask_sequence"] == "DWI"
        mask = read_mask(out / "truth" / row["mask"])
        dwi, adc = (read_scan(_path(out, subject, s)).data for s in ("DWI", "ADC"))
        tissue = (adc > 600) & (adc < 1100) & ~mask
        assert np.median(dwi[mask]) > 1.4 * np.median(dwi[tissue])
        assert np.median(adc[mask]) < 0.8 * np.median(adc[tissue])


def _path(out: Path, subject: str, sequence: str) -> Path:
    return out / "raw" / next(
        r["path"] for r in rows_of(out) if r["subject"] == subject and r["sequence"] == sequence
    )  # fmt: skip


def test_brain_mask_lies_on_the_reference_scan(made):
    out, _ = made
    for key, entry in truth_of(out).items():
        scan = nib.load(_path(out, key.split("/")[0], entry["reference"]))
        mask = nib.load(out / "truth" / entry["brain_mask"])
        assert mask.shape == scan.shape
        assert mask.affine == pytest.approx(scan.affine)
        litres = (np.asarray(mask.dataobj) > 0).sum() * np.prod(mask.header.get_zooms()) / 1e6
        assert 0.9 < litres < 2.2


def test_motion_is_rigid_and_leads_from_the_reference_to_the_scan(made, config, infarcts):
    out, _ = made
    by_key = {v.key: v for v in visits(config, "infarct_ft", infarcts)}
    for key, entry in truth_of(out).items():
        motion = {s: np.array(m) for s, m in entry["motion"].items()}
        pose = poses(by_key[key], config.sites[entry["site"]])
        for sequence in motion:
            assert motion[sequence] @ pose[entry["reference"]] == pytest.approx(pose[sequence], abs=1e-9)
        assert motion[entry["reference"]] == pytest.approx(np.eye(4), abs=1e-9)
        assert motion["ADC"] == pytest.approx(motion["DWI"])  # one acquisition, one pose
        for sequence in set(motion) - {entry["reference"]}:
            turn, shift = motion[sequence][:3, :3], motion[sequence][:3, 3]
            assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-9)
            assert 0.1 < np.linalg.norm(shift) < 12
            assert not np.allclose(turn, np.eye(3), atol=1e-4)


def test_truth_lies_apart_from_raw(made):
    out, _ = made
    assert not list((out / "raw").rglob("*mask*"))
    assert "infarct" not in "".join(r["path"] for r in rows_of(out))


def test_pretraining_has_no_labels_and_age_is_labelled_in_years(config, donors, tmp_path):
    pretrain = CohortSet(role="pretrain", split="pretrain", subjects=1, sites=("P1",))
    age = CohortSet(role="age", split="test", subjects=1, sites=("C",), age_years=(70, 71))
    make(config, pretrain, donors, tmp_path / "pre", name="pre")
    make(config, age, donors, tmp_path / "age", name="age")
    assert read_table(tmp_path / "pre/truth/labels/0000.tsv", LABEL_COLUMNS) == []
    (row,) = read_table(tmp_path / "age/truth/labels/0000.tsv", LABEL_COLUMNS)
    assert 70 <= float(row["value"]) <= 71
    assert row["mask"] == "n/a"


def test_everything_written_is_returned_for_the_card(config, donors, tmp_path):
    spec = CohortSet(role="pretrain", split="pretrain", subjects=10, sites=("A1",))
    files = make_shard(
        config, "pre", spec, 0, 1, sorted(donors.glob("*.safetensors")), tmp_path / "raw", tmp_path / "truth"
    )  # fmt: skip
    assert sorted(files) == sorted(p for p in tmp_path.rglob("*") if p.is_file())
    assert any("mask" in p.name and "brain" not in p.name for p in files)  # a finding, though no label
