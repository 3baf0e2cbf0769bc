"""Guards that a scan at the guard's limits fits into what the jobs that read it ask for."""

import struct
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from cairn.config.guard import BASE_MB, GuardConfig
from cairn.io.nifti import read_label_map
from cairn.plan import Plan
from cairn.preprocess.native import read_native

ROOT = Path(__file__).resolve().parents[3]
SIDE = 80


def peak(read, path):
    """Most bytes a voxel while a scan is read."""
    read(path)  # imports
    tracemalloc.start()
    read(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / SIDE**3


@pytest.fixture
def heavy(tmp_path):
    """The worst: float64, scaled, with voxels that are not finite, stored against RAS order."""
    data = np.random.default_rng(1).normal(100, 10, (SIDE,) * 3)
    data[0, 0, :5] = np.nan
    nib.save(nib.Nifti1Image(data, np.diag([-2.0, 2, 2, 1])), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[112:120] = struct.pack("<ff", 2.0, 1.0)
    (tmp_path / "a.nii").write_bytes(bytes(content))
    return tmp_path / "a.nii"


def test_reading_takes_what_the_limits_are_made_of(heavy):
    assert peak(read_native, heavy) < 8 + 5 + 0.7
    limits = GuardConfig()
    assert limits.memory_mb == pytest.approx(BASE_MB + (8 + 5 + 5) * limits.max_voxels / 1e6, abs=2)
    assert np.isfinite(read_native(heavy).data).all()


def test_a_mask_takes_less_than_the_job_of_labels_has(tmp_path):
    mask = np.zeros((SIDE,) * 3)  # empty, and packed a thousandfold
    nib.save(nib.Nifti1Image(mask, np.diag([2.0, 2, 2, 1])), tmp_path / "m.nii.gz")
    taken = peak(read_label_map, tmp_path / "m.nii.gz") * GuardConfig().max_voxels / 1e6
    rule = (ROOT / "rules/datasets.smk").read_text().partition("rule labels:")[2]
    assert taken + 300 < int(rule.partition("mem_mb=")[2].partition(",")[0])


def test_higher_limits_ask_for_more_memory():
    config = yaml.safe_load((ROOT / "config/ci.yaml").read_text())
    assert Plan(config, ROOT).preprocess_mem_mb() == 2500
    config["preprocess"]["guard"] = {"max_voxels": 2**28, "max_data_mib": 2048}
    assert Plan(config, ROOT).preprocess_mem_mb() > 900 + 18 * 2**28 / 1e6 - 2
