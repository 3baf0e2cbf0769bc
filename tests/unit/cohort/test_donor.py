"""Guards: from a package's volume to a tissue model, and back from disk."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import nibabel as nib
import numpy as np
import pytest

from cairn.cohort.archives import read_member, read_volume
from cairn.cohort.donor import load_donor
from cairn.cohort.tissue import TISSUES, head_tissues
from cairn.errors import CairnError

T1 = {"csf": 0.25, "gm": 0.65, "dgm": 0.65, "wm": 1.0, "bone": 0.1, "fat": 1.0, "muscle": 0.45}


@pytest.fixture(scope="module")
def made(donors):
    """The ball donor, and the tissue model of a T1 scan of it, with noise and a bias field."""
    ball = load_donor(donors / "ball.safetensors")
    signal = np.array([T1[t] for t in TISSUES], np.float32)
    rng = np.random.default_rng(0)
    head = np.tensordot(signal, ball.tissues.fractions, 1)
    bias = np.linspace(0.8, 1.25, head.shape[1], dtype=np.float32)[None, :, None]
    head = 300 * (head * bias + rng.normal(0, 0.01, head.shape).astype(np.float32)).clip(0)
    return ball, head_tissues(head, ball.tissues.depth_mm > 0, ball.voxel_mm)


def test_a_biased_t1_gives_back_its_tissues(made):
    ball, model = made
    for tissue in ("csf", "gm", "wm"):
        volumes = [float((t.fractions[TISSUES.index(tissue)] * (t.depth_mm > 4)).sum()) for t in (ball.tissues, model)]
        if tissue == "gm":  # deep grey is told from cortex by position, which a ball does not have
            k = TISSUES.index("dgm")
            volumes = [v + float(t.fractions[k].sum()) for v, t in zip(volumes, (ball.tissues, model), strict=True)]
        assert volumes[1] == pytest.approx(volumes[0], rel=0.12)
    assert float(model.fractions.sum(0).max()) <= 1.001


def test_ventricles_are_found_and_distances_signed(made):
    ball, model = made
    ml = [float((t.ventricle_mm < 0).sum()) for t in (ball.tissues, model)]
    assert ml[1] == pytest.approx(ml[0], rel=0.3)
    outside = model.fractions[4:].sum(0)
    assert outside[(model.depth_mm < -4) & (model.depth_mm > -7)].mean() > 0.8  # there is a skull
    assert outside[model.depth_mm > 8].max() < 0.01


def test_a_donor_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    with pytest.raises(CairnError, match="not a donor file"):
        load_donor(tmp_path / "x.safetensors")
    with pytest.raises(CairnError, match="no such file"):
        load_donor(tmp_path / "y.safetensors")


def _nifti() -> bytes:
    data = np.zeros((4, 5, 6), np.int16)
    data[0] = 7
    image = nib.Nifti1Image(data, np.diag([-2.0, 1, 1, 1]))  # stored from right to left
    return gzip.compress(image.to_bytes())


@pytest.mark.parametrize("kind", ["whl", "tar.gz"])
def test_a_volume_is_read_out_of_either_kind_of_archive(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "whl":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x-1/head.nii.gz", _nifti())
    else:
        with tarfile.open(path, "w:gz") as archive:
            info = tarfile.TarInfo("x-1/head.nii.gz")
            info.size = len(_nifti())
            archive.addfile(info, io.BytesIO(_nifti()))
    volume, zooms = read_volume(path, "*/head.nii.gz")
    assert zooms == (2.0, 1.0, 1.0)
    assert volume[-1].min() == 7  # turned to RAS
    assert volume[0].max() == 0
    with pytest.raises(CairnError, match="holds no"):
        read_member(path, "brain.nii.gz")


def test_a_broken_archive_is_named(tmp_path):
    (tmp_path / "x.whl").write_bytes(b"no archive")
    with pytest.raises(CairnError, match=r"x\.whl: not a readable archive"):
        read_member(tmp_path / "x.whl", "a")
